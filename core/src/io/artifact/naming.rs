//! Strangers' names as names of files: what a model or a description calls a thing must not lead out of a folder, hide,
//! or take another's place.

use super::sha256;

/// Characters of a plain name.
const MOST: usize = 128;
/// Characters of a file's name that is kept whole; what file systems take (255) less an ending and a hash.
const MOST_STEM: usize = 160;
/// Characters of the hash that ends a name which was cut.
const HASH: usize = 16;

/// Returns whether a name is its own file name everywhere: at most 128 letters, digits, `-`, `_`, `.` or of
/// `also`, and no `.` before all others.
pub fn is_plain(name: &str, also: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c) || also.contains(c);
    !name.is_empty() && name.len() <= MOST && !name.starts_with('.') && name.chars().all(plain)
}

/// Returns a file's name (without its ending) for any name: letters, digits, `-`, `_` and `.` stay, everything
/// else and a `.` before all others becomes `%` and its UTF-8 bytes in hex. Two names never become one: of one
/// that is too long the beginning is followed by the name's SHA-256, which makes it longer than any that is
/// whole.
pub fn file_stem(name: &str) -> String {
    let mut stem = String::with_capacity(name.len());
    for (i, byte) in name.bytes().enumerate() {
        let stays = byte.is_ascii_alphanumeric() || b"-_".contains(&byte) || (byte == b'.' && i > 0);
        match stays {
            true => stem.push(char::from(byte)),
            false => stem.push_str(&format!("%{byte:02X}")),
        }
    }
    if stem.is_empty() {
        return "%".into(); // no other name's
    }
    if stem.len() > MOST_STEM {
        stem.truncate(MOST_STEM); // ASCII: every place is a character's
        stem.push_str(&format!("%{}", sha256(name.as_bytes()).get(..HASH).unwrap_or_default()));
    }
    stem
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    #[test]
    fn names_become_files_of_their_own() {
        for (name, wanted) in [
            ("logits", "logits"),
            ("layer1.conv-2_out", "layer1.conv-2_out"),
            ("y:0", "y%3A0"),
            ("y/0", "y%2F0"),
            ("y%2F0", "y%252F0"),
            ("...", "%2E.."),
            ("../up", "%2E.%2Fup"),
            ("é", "%C3%A9"),
            ("", "%"),
        ] {
            assert_eq!(file_stem(name), wanted);
        }
        let long = |end: &str| file_stem(&format!("{}{end}", "n".repeat(300)));
        assert_ne!(long("a"), long("b"));
        assert!(long("a").len() <= 200 && long("a").starts_with("nnn"));
        assert_eq!(file_stem(&"n".repeat(160)), "n".repeat(160));
    }

    #[test]
    fn plain_names_are_told_from_others() {
        for good in ["a", "resnet8x4", "res-mini:d111-k333-e111", "1.5_b"] {
            assert!(is_plain(good, ":"), "{good}");
        }
        assert!(!is_plain("a:b", ""));
        for bad in ["", ".", "..", ".a", "a/b", "a\\b", "a\nb", "é", "a b", &"n".repeat(129)] {
            assert!(!is_plain(bad, ":"), "{bad}");
        }
    }

    proptest! {
        /// Any set of names keeps as many files, none hidden, none outside.
        #[test]
        fn no_two_names_share_a_file(names in prop::collection::btree_set("[a%./:0-9é]{0,4}|n{150,200}[ab]", 0..40)) {
            let stems: BTreeMap<String, &String> = names.iter().map(|n| (file_stem(n), n)).collect();
            prop_assert_eq!(stems.len(), names.len());
            for stem in stems.keys() {
                prop_assert!(!stem.contains('/') && !stem.starts_with('.') && stem.len() < 200);
            }
        }
    }
}
