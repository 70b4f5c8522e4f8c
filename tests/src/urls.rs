//! The few changes that tests make to connection strings of the form `scheme://user:password@host:port/path`.

/// The same server and user, another path: a database or, percent-encoded, a vhost.
#[must_use]
pub fn with_path(url: &str, path: &str) -> String {
    let (scheme, rest) = split(url);
    let authority = rest.split(['/', '?']).next().unwrap_or(rest);
    format!("{scheme}://{authority}/{path}")
}

/// The same path by another address, such as a proxy's.
#[must_use]
pub fn with_address(url: &str, address: &str) -> String {
    let (scheme, rest) = split(url);
    let authority = rest.split(['/', '?']).next().unwrap_or(rest);
    let path = &rest[authority.len()..];
    match authority.rsplit_once('@') {
        Some((user, _)) => format!("{scheme}://{user}@{address}{path}"),
        None => format!("{scheme}://{address}{path}"),
    }
}

/// The same database as another user.
#[must_use]
pub fn with_user(url: &str, user: &str, password: &str) -> String {
    let (scheme, rest) = split(url);
    let address = rest.rsplit_once('@').map_or(rest, |(_, address)| address);
    format!("{scheme}://{user}:{password}@{address}")
}

/// `host:port`
#[must_use]
pub fn address(url: &str) -> &str {
    let (_, rest) = split(url);
    let authority = rest.split(['/', '?']).next().unwrap_or(rest);
    authority.rsplit_once('@').map_or(authority, |(_, address)| address)
}

/// `(user, password)`
#[must_use]
pub fn credentials(url: &str) -> (&str, &str) {
    let (_, rest) = split(url);
    let authority = rest.split(['/', '?']).next().unwrap_or(rest);
    let user = authority.rsplit_once('@').map_or("", |(user, _)| user);
    user.split_once(':').unwrap_or((user, ""))
}

fn split(url: &str) -> (&str, &str) {
    url.split_once("://").unwrap_or_else(|| panic!("not a URL with a scheme: {url}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const URL: &str = "postgres://me:pw@127.0.0.1:5432/postgres?a=b";

    #[test]
    fn one_part_changes_and_the_others_stay() {
        assert_eq!(with_path(URL, "other"), "postgres://me:pw@127.0.0.1:5432/other");
        assert_eq!(with_address(URL, "h:1"), "postgres://me:pw@h:1/postgres?a=b");
        assert_eq!(with_user(URL, "you", "x"), "postgres://you:x@127.0.0.1:5432/postgres?a=b");
        assert_eq!((address(URL), credentials(URL)), ("127.0.0.1:5432", ("me", "pw")));
        assert_eq!(with_path("amqp://u:p@h:5672", "%2f"), "amqp://u:p@h:5672/%2f");
    }
}
