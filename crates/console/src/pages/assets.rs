//! Style, script and icon: in the program itself, so that the pages work without the internet and without a build.

use std::fmt;

/// A file that is served under `/assets/`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asset {
    pub(crate) name: &'static str,
    pub(crate) media_type: &'static str,
    pub(crate) content: &'static str,
    version: u64,
}

pub(crate) const STYLE: Asset =
    Asset::new("console.css", "text/css; charset=utf-8", include_str!("assets/console.css"));
pub(crate) const SCRIPT: Asset =
    Asset::new("console.js", "text/javascript; charset=utf-8", include_str!("assets/console.js"));
pub(crate) const ICON: Asset = Asset::new("icon.svg", "image/svg+xml", include_str!("assets/icon.svg"));

const ALL: [Asset; 3] = [STYLE, SCRIPT, ICON];

impl Asset {
    const fn new(name: &'static str, media_type: &'static str, content: &'static str) -> Self {
        Self { name, media_type, content, version: fingerprint(content.as_bytes()) }
    }

    /// Its address. It changes with the content, so that browsers may keep what they have for ever.
    pub(crate) fn href(&self) -> Href {
        Href(*self)
    }
}

/// An address as text.
#[derive(Debug)]
pub(crate) struct Href(Asset);

impl fmt::Display for Href {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/assets/{}?v={:016x}", self.0.name, self.0.version)
    }
}

/// The file of this name.
pub(crate) fn find(name: &str) -> Option<Asset> {
    ALL.into_iter().find(|asset| asset.name == name)
}

/// FNV-1a: nobody gains anything from a collision.
const fn fingerprint(bytes: &[u8]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    let mut at = 0;
    while at < bytes.len() {
        hash = (hash ^ bytes[at] as u64).wrapping_mul(0x0100_0000_01b3);
        at += 1;
    }
    hash
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_file_is_found_by_its_name_and_told_apart_by_its_content() {
        for asset in ALL {
            assert_eq!(find(asset.name).map(|found| found.content), Some(asset.content));
            assert!(asset.href().to_string().starts_with(&format!("/assets/{}?v=", asset.name)));
        }
        assert_ne!(fingerprint(b"a"), fingerprint(b"b"));
        assert!(find("../secret").is_none());
    }

    #[test]
    fn nothing_is_loaded_from_elsewhere() {
        for asset in [STYLE, SCRIPT] {
            assert!(
                !asset.content.contains("//cdn") && !asset.content.contains("https://"),
                "{}",
                asset.name
            );
            assert!(!asset.content.contains("@import"), "{}", asset.name);
        }
    }
}
