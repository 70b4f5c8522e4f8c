//! Sessions of the dashboard: a cookie that says whose it is and until when, signed with what belongs to the key. Nothing
//! is kept here, so every console with the same keys knows them, and they end when the key is taken away.

use std::time::{Duration, SystemTime};

use axum::http::{HeaderMap, HeaderValue, header};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;

use super::keys::AdminKey;

const COOKIE: &str = "tenant_sync_session";

/// `name~expiry~signature`.
pub(super) fn seal(key: &AdminKey, expires: SystemTime) -> String {
    let seconds = expires.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    let claim = format!("{}~{seconds}", key.name);
    let signature = hmac::sign(&key.signing, claim.as_bytes());
    format!("{claim}~{}", URL_SAFE_NO_PAD.encode(signature))
}

/// What a token claims; believed only if [`is_genuine`].
pub(super) fn parts(token: &str) -> Option<(&str, SystemTime)> {
    let (claim, _) = token.rsplit_once('~')?;
    let (name, seconds) = claim.rsplit_once('~')?;
    let expires = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds.parse().ok()?))?;
    Some((name, expires))
}

/// Whether this key signed the token. Takes the same time whatever is wrong with it.
pub(super) fn is_genuine(key: &AdminKey, token: &str) -> bool {
    let Some((claim, signature)) = token.rsplit_once('~') else { return false };
    let Ok(signature) = URL_SAFE_NO_PAD.decode(signature) else { return false };
    hmac::verify(&key.signing, claim.as_bytes(), &signature).is_ok()
}

/// The token in a request's cookies.
pub(super) fn token(headers: &HeaderMap) -> Option<&str> {
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    cookies
        .flat_map(|line| line.split(';'))
        .find_map(|cookie| cookie.trim().strip_prefix(COOKIE)?.strip_prefix('='))
}

/// A `Set-Cookie` value. Scripts cannot read it, other sites cannot send it, and it goes over TLS only where the login
/// came by TLS.
pub(super) fn cookie(token: &str, lifetime: Duration, encrypted: bool) -> HeaderValue {
    let secure = if encrypted { "; Secure" } else { "" };
    let text = format!(
        "{COOKIE}={token}; Path=/; Max-Age={}; HttpOnly; SameSite=Strict{secure}",
        lifetime.as_secs()
    );
    // Names of keys and base64 have no character that a header could not carry.
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static(""))
}

#[cfg(test)]
mod tests {
    use secrecy::SecretString;

    use super::super::keys::Keys;
    use super::*;

    #[test]
    fn a_token_is_genuine_for_its_key_only_and_only_unchanged() {
        let entries = ["ann:0123456789abcdef", "bob:fedcba9876543210"].map(SecretString::from);
        let keys = Keys::from_config(&entries).expect("good");
        let (ann, bob) = (keys.named("ann").expect("ann"), keys.named("bob").expect("bob"));
        let expires = SystemTime::UNIX_EPOCH + Duration::from_secs(2_000_000_000);
        let token = seal(ann, expires);
        assert_eq!(parts(&token), Some(("ann", expires)));
        assert!(is_genuine(ann, &token) && !is_genuine(bob, &token));
        for changed in [
            token.replace("ann", "bob"),
            token.replace("2000000000", "3000000000"),
            token[..token.len() - 1].to_owned(),
            String::new(),
            "ann~2000000000~".to_owned(),
        ] {
            assert!(!is_genuine(ann, &changed) && !is_genuine(bob, &changed), "{changed}");
        }
        assert!(!token.contains("0123456789abcdef"));
    }

    #[test]
    fn the_token_is_found_among_other_cookies() {
        let mut headers = HeaderMap::new();
        headers.append(header::COOKIE, HeaderValue::from_static("a=b; tenant_sync_session=x~1~y; c=d"));
        assert_eq!(token(&headers), Some("x~1~y"));
        headers.clear();
        headers.append(header::COOKIE, HeaderValue::from_static("xtenant_sync_session=x"));
        assert_eq!(token(&headers), None);
    }

    #[test]
    fn the_cookie_is_kept_from_scripts_and_other_sites() {
        let text = cookie("t", Duration::from_secs(60), true);
        let text = text.to_str().expect("text");
        assert!(text.contains("HttpOnly") && text.contains("SameSite=Strict") && text.contains("Max-Age=60"));
        assert!(text.ends_with("; Secure"));
        assert!(!cookie("t", Duration::ZERO, false).to_str().expect("text").contains("Secure"));
    }
}
