//! Topic names, and filters that match many of them (§4.7).

/// Longest name or filter in bytes. The standard allows 65,535.
pub(crate) const LEN_MAX: usize = 1024;

/// Most levels of a name or filter; those who match walk down one after the other.
pub(crate) const LEVELS_MAX: usize = 32;

/// Returns whether a message may have this topic.
pub(crate) fn is_name(topic: &str) -> bool {
    has_size(topic) && !topic.contains(['+', '#'])
}

/// Returns whether one may subscribe to this.
pub(crate) fn is_filter(filter: &str) -> bool {
    let mut levels = filter.split('/').peekable();
    let mut is_valid = has_size(filter);
    while let Some(level) = levels.next() {
        is_valid &= match level {
            "+" => true,
            "#" => levels.peek().is_none(),
            level => !level.contains(['+', '#']),
        };
    }
    is_valid
}

/// Returns whether only the broker may publish this.
pub(crate) fn is_reserved(topic: &str) -> bool {
    topic.starts_with('$')
}

/// Returns whether a filter matches a topic name.
pub(crate) fn matches(filter: &str, name: &str) -> bool {
    // A wildcard at the front is not meant for the broker's own topics (§4.7.2).
    if is_reserved(name) && filter.starts_with(['+', '#']) {
        return false;
    }
    let mut names = name.split('/');
    for level in filter.split('/') {
        match (level, names.next()) {
            ("#", _) => return true,
            ("+", Some(_)) => {}
            (level, Some(name)) if level == name => {}
            _ => return false,
        }
    }
    names.next().is_none()
}

fn has_size(topic: &str) -> bool {
    (1..=LEN_MAX).contains(&topic.len()) && topic.split('/').count() <= LEVELS_MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_of_the_standard_hold() {
        for (filter, name, expected) in [
            ("sport/tennis/player1/#", "sport/tennis/player1", true),
            (
                "sport/tennis/player1/#",
                "sport/tennis/player1/score/wimbledon",
                true,
            ),
            ("sport/#", "sport", true),
            ("sport/tennis/+", "sport/tennis/player1", true),
            ("sport/tennis/+", "sport/tennis/player1/ranking", false),
            ("sport/+", "sport", false),
            ("sport/+", "sport/", true),
            ("+/+", "/finance", true),
            ("/+", "/finance", true),
            ("+", "/finance", false),
            ("#", "$SYS/a", false),
            ("+/a", "$SYS/a", false),
            ("$SYS/#", "$SYS/a", true),
            ("a", "a/b", false),
            ("A", "a", false),
        ] {
            assert_eq!(matches(filter, name), expected, "{filter} on {name}");
        }
    }

    #[test]
    fn wildcards_stand_alone_and_the_last_one_last() {
        for filter in ["#", "+", "a/#", "a/+/b", "/", "a//b", "+/#"] {
            assert!(is_filter(filter), "{filter}");
        }
        for filter in ["", "a#", "a/#/b", "a+", "+a/b", "#/", "a/b#"] {
            assert!(!is_filter(filter), "{filter}");
        }
        assert!(is_name("/") && !is_name("a/+") && !is_name(""));
        assert!(!is_name(&"a".repeat(LEN_MAX + 1)) && !is_name(&"/".repeat(LEVELS_MAX)));
    }
}
