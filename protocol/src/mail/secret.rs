//! Looks for passwords and keys in what is to be sent: a letter goes to every node of the mesh and stays there.
//!
//! Rules go by marks that keys of a kind begin with and by what must follow them, so that prose about keys is let
//! through. It finds what people paste by mistake, not what they hide.

/// What looks like a secret, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Finding {
    /// The id of the rule.
    pub rule: &'static str,
    /// The line, from 1.
    pub line: usize,
}

/// A mark, and what follows it where it begins a key.
struct Rule {
    id: &'static str,
    marks: &'static [&'static str],
    /// The characters that keys of the kind are written in.
    holds: fn(char) -> bool,
    /// How many of them follow the mark, at least and at most.
    chars: (usize, usize),
    /// Whether they are random enough, where that tells a key from words.
    is_random: fn(&str) -> bool,
}

const ANY: usize = usize::MAX;

const RULES: [Rule; 8] = [
    Rule {
        id: "aws-access-key",
        marks: &["AKIA", "ASIA"],
        holds: |char| char.is_ascii_uppercase() || char.is_ascii_digit(),
        chars: (16, 16),
        is_random: |_| true,
    },
    Rule {
        id: "github-token",
        marks: &["ghp_", "gho_", "ghs_", "ghu_", "ghr_"],
        holds: |char| char.is_ascii_alphanumeric(),
        chars: (36, ANY),
        is_random: |_| true,
    },
    Rule {
        id: "github-token",
        marks: &["github_pat_"],
        holds: |char| char.is_ascii_alphanumeric() || char == '_',
        chars: (36, ANY),
        is_random: |_| true,
    },
    Rule {
        id: "slack-token",
        marks: &["xoxb-", "xoxa-", "xoxp-"],
        holds: |char| char.is_ascii_alphanumeric() || char == '-',
        chars: (20, ANY),
        is_random: |text| text.chars().any(|char| char.is_ascii_digit()),
    },
    Rule {
        id: "api-key",
        marks: &["sk-"],
        holds: |char| char.is_ascii_alphanumeric() || matches!(char, '-' | '_'),
        chars: (32, ANY),
        is_random: is_mixed,
    },
    Rule { id: "beadmesh-agent-token", marks: &["bma1"], holds: is_base32, chars: (32, 32), is_random: |_| true },
    Rule { id: "beadmesh-recovery-key", marks: &["bmr1"], holds: is_base32, chars: (48, ANY), is_random: |_| true },
    Rule { id: "beadmesh-ticket", marks: &["bm1"], holds: is_base32, chars: (48, ANY), is_random: |_| true },
];

/// Returns the first thing in a text that looks like a secret.
pub fn find(text: &str) -> Option<Finding> {
    (1..).zip(text.lines()).find_map(|(line, content)| {
        let is_pem = content
            .split_once("-----BEGIN ")
            .is_some_and(|(_, rest)| rest.split_once("-----").is_some_and(|(label, _)| label.contains("PRIVATE KEY")));
        let rule = if is_pem { Some("pem-private-key") } else { RULES.iter().find_map(|rule| rule.find(content)) };
        rule.map(|rule| Finding { rule, line })
    })
}

impl Rule {
    fn find(&self, line: &str) -> Option<&'static str> {
        self.marks.iter().any(|mark| self.is_in(line, mark)).then_some(self.id)
    }

    /// Returns whether a key with that mark is in a line. No character is looked at more than a few times.
    fn is_in(&self, line: &str, mark: &str) -> bool {
        let (low, high) = self.chars;
        let mut failed_to = 0;
        for (at, _) in line.match_indices(mark) {
            let is_inside = line[..at].chars().next_back().is_some_and(|char| char.is_ascii_alphanumeric());
            // What is no key up to its end is none from a later mark on either: it is shorter and no more random.
            if is_inside || (at < failed_to && high == ANY) {
                continue;
            }
            let rest = &line[at + mark.len()..];
            // All that keys hold is ASCII, so bytes are characters.
            let held = rest.bytes().take(high.saturating_add(1)).take_while(|byte| (self.holds)(char::from(*byte)));
            let end = held.count();
            let is_cut = rest[end..].starts_with(|char: char| char.is_ascii_alphanumeric());
            if !is_cut && (low..=high).contains(&end) && (self.is_random)(&rest[..end]) {
                return true;
            }
            failed_to = at + mark.len() + end;
        }
        false
    }
}

fn is_base32(char: char) -> bool {
    char.is_ascii_alphabetic() || matches!(char, '2'..='7')
}

/// Returns whether a text holds small letters, capitals and digits, as random ones of this length do.
fn is_mixed(text: &str) -> bool {
    let holds = |is: fn(&char) -> bool| text.chars().any(|char| is(&char));
    holds(char::is_ascii_lowercase) && holds(char::is_ascii_uppercase) && holds(char::is_ascii_digit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_found_with_their_rule_and_line() {
        let (base32, mixed) = ("abcdefgh234567ab".repeat(4), "aB3dE5gH".repeat(6));
        for (text, rule) in [
            ("-----BEGIN OPENSSH PRIVATE KEY-----".to_owned(), "pem-private-key"),
            ("> -----BEGIN PGP PRIVATE KEY BLOCK-----".to_owned(), "pem-private-key"),
            ("AWS_ACCESS_KEY_ID=AKIAIOSFODNN7EXAMPLE".to_owned(), "aws-access-key"),
            (format!("use ghp_{}, please", &mixed[..36]), "github-token"),
            (format!("https://github_pat_{mixed}@github.com/a/b"), "github-token"),
            ("`xoxb-123456789012-abcdefghijkl`".to_owned(), "slack-token"),
            (format!("OPENAI_API_KEY=\"sk-proj-{mixed}\""), "api-key"),
            (format!("token bma1{}", &base32[..32]), "beadmesh-agent-token"),
            (format!("bmr1{base32}"), "beadmesh-recovery-key"),
            (format!("beadmesh join bm1{base32}{base32}"), "beadmesh-ticket"),
        ] {
            assert_eq!(find(&text), Some(Finding { rule, line: 1 }), "{text}");
            assert_eq!(find(&format!("one\n\nthree: {text}\n")), Some(Finding { rule, line: 3 }), "{text}");
        }
    }

    #[test]
    fn a_key_behind_what_only_looks_like_one_is_found() {
        let mixed = "aB3dE5gH".repeat(6);
        for text in [
            format!("task-sk-{mixed}"),
            format!("desk-sk-one-sk-{mixed}"),
            format!("{}sk-{mixed}", "sk-".repeat(9_000)),
        ] {
            assert_eq!(find(&text).map(|found| found.rule), Some("api-key"), "{}", text.len());
        }
        assert_eq!(find(&"sk-".repeat(20_000)), None);
        assert_eq!(find(&"AKIA".repeat(16_000)), None);
    }

    #[test]
    fn prose_about_keys_is_let_through() {
        for text in [
            "",
            "AKIA is what access keys of AWS begin with; AKIAIOSFODNN7EXAMPL is one short.",
            "Set `ghp_...` or `github_pat_<token>` in the environment.",
            "xoxb-your-token-here, xoxp-and-then-some-words-here",
            "The sk-learn-based-classifier-for-short-texts-v2-final has moved to task-sk-1.",
            "Tickets begin with bm1, tokens with bma1 and recovery keys with bmr1.",
            "bma1abcdefg is too short, and ABMA1 no token; submarine1 either.",
            "-----BEGIN PUBLIC KEY-----\n-----BEGIN CERTIFICATE-----",
            "The PRIVATE KEY stays where it is. -----BEGIN of a line-----",
            "commit d027811f0e0c7afa6f5fb9c710adbabc6605fe6acf679c8 renames sk-table",
            "riskAB3dE5gHaB3dE5gHaB3dE5gHaB3dE5gHaB3dE5gH and häsk-nothing",
        ] {
            assert_eq!(find(text), None, "{text}");
        }
    }

    #[test]
    fn a_line_of_any_length_and_letters_is_looked_through() {
        let text = "ä-ghp_ö".repeat(9_000);
        assert_eq!(find(&text), None);
    }
}
