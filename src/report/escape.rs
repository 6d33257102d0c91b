//! Text from outside, made harmless where it is shown.
//!
//! Every value that a template writes passes through [`markdown`] unless it is marked safe, and HTML is made from that
//! Markdown; so nothing in the data can open an element, a link, a table column or a list.

use std::fmt::Write;

/// One visible line: white space collapsed, control characters and direction overrides replaced by U+FFFD.
pub(super) fn clean(text: &str) -> String {
    let words: Vec<String> = text.split_whitespace().map(|word| word.chars().map(visible).collect()).collect();
    words.join(" ")
}

/// Text as inline Markdown that means nothing but itself, anywhere in a line.
pub(super) fn markdown(text: &str) -> String {
    let characters: Vec<char> = clean(text).chars().collect();
    let mut escaped = String::with_capacity(characters.len());
    for (index, &character) in characters.iter().enumerate() {
        let before = index.checked_sub(1).and_then(|i| characters.get(i)).copied();
        let after = characters.get(index + 1).copied();
        let special = match character {
            '\\' | '`' | '*' | '[' | ']' | '<' | '>' | '&' | '#' | '|' | '~' | '{' | '}' | '$' | '^' => true,
            '_' => !(is_alphanumeric(before) && is_alphanumeric(after)),
            ':' => after == Some('/'),
            '.' | ')' => ends_list_marker(&characters, index) || escaped.to_ascii_lowercase().ends_with("www"),
            '-' | '+' | '=' => index == 0 && !is_alphanumeric(after),
            '!' => after == Some('['),
            _ => false,
        };
        if special {
            escaped.push('\\');
        }
        escaped.push(character);
    }
    escaped
}

/// Text as a code span, or as escaped text where it holds a character that a code span in a table cannot.
pub(super) fn code(text: &str) -> String {
    let cleaned = clean(text);
    if cleaned.is_empty() || cleaned.contains(['`', '|', '\\']) { markdown(&cleaned) } else { format!("`{cleaned}`") }
}

/// Text as a fenced code block, line by line, with a fence that the text cannot close.
pub(super) fn code_block(text: &str, language: &str) -> String {
    let fence = "`".repeat(longest_run(text, '`').max(2) + 1);
    let mut block = format!("{fence}{language}\n");
    for line in text.lines() {
        block.extend(line.chars().map(|character| if character == '\t' { '\t' } else { visible(character) }));
        block.push('\n');
    }
    block.push_str(&fence);
    block
}

/// Text inside an SVG or HTML element or a quoted attribute, on one line.
pub(super) fn xml(text: &str) -> String {
    let mut escaped = String::new();
    // Writing to a String cannot fail.
    let _ = write!(escaped, "{}", minijinja::HtmlEscape(&clean(text)));
    escaped
}

/// Text inside a quoted string of a style sheet: whatever is not a letter, a digit or a harmless sign is escaped by number.
pub(super) fn css(text: &str) -> String {
    let plain = |character: char| character.is_ascii_alphanumeric() || " .,:-_".contains(character);
    let write = |character: char| match plain(character) {
        true => character.to_string(),
        false => format!("\\{:06x}", u32::from(character)),
    };
    clean(text).chars().map(write).collect()
}

/// Control characters and invisible marks that reorder text are shown as a replacement character.
fn visible(character: char) -> char {
    let reorders = matches!(character, '\u{061C}' | '\u{200B}' | '\u{200E}' | '\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}' | '\u{FEFF}');
    if character.is_control() || reorders { '\u{FFFD}' } else { character }
}

fn is_alphanumeric(character: Option<char>) -> bool {
    character.is_some_and(char::is_alphanumeric)
}

/// Whether the characters up to `index` are `12.` or `12)` followed by nothing or a space.
fn ends_list_marker(characters: &[char], index: usize) -> bool {
    let digits = characters.get(..index).unwrap_or_default();
    let ends = characters.get(index + 1).is_none_or(|next| *next == ' ');
    ends && !digits.is_empty() && digits.iter().all(char::is_ascii_digit)
}

fn longest_run(text: &str, wanted: char) -> usize {
    let mut longest = 0;
    let mut run = 0;
    for character in text.chars() {
        run = if character == wanted { run + 1 } else { 0 };
        longest = longest.max(run);
    }
    longest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn punctuation_means_itself() {
        assert_eq!(markdown("| a | b |"), r"\| a \| b \|");
        assert_eq!(markdown("<b>&amp;"), r"\<b\>\&amp;");
        assert_eq!(markdown("[x](javascript:1)"), r"\[x\](javascript:1)");
        assert_eq!(markdown("user_type"), "user_type");
        assert_eq!(markdown("_a_ __b__"), r"\_a\_ \_\_b\_\_");
        assert_eq!(markdown("1. one\n2. two"), r"1\. one 2. two");
        assert_eq!(markdown("0.05"), "0.05");
        assert_eq!(markdown("- x"), r"\- x");
        assert_eq!(markdown("-3"), "-3");
        assert_eq!(markdown("---"), r"\---");
        assert_eq!(markdown("https://a www.b"), r"https\://a www\.b");
    }

    #[test]
    fn a_style_string_cannot_be_left() {
        assert_eq!(css("balanced-users 1.0.0"), "balanced-users 1.0.0");
        assert_eq!(css("\"}</style>\\é"), r"\000022\00007d\00003c\00002fstyle\00003e\00005c\0000e9");
    }

    #[test]
    fn control_characters_are_shown() {
        assert_eq!(clean("a\u{202E}b\0c\u{1b}[31m"), "a\u{FFFD}b\u{FFFD}c\u{FFFD}[31m");
        assert_eq!(clean(" a\r\n\tb\u{2028}c "), "a b c");
    }

    #[test]
    fn a_fence_is_longer_than_any_run() {
        assert_eq!(code_block("a\n````\nb", "yaml"), "`````yaml\na\n````\nb\n`````");
        assert_eq!(code_block("", "yaml"), "```yaml\n```");
    }

    #[test]
    fn a_code_span_cannot_be_left() {
        assert_eq!(code("a_b"), "`a_b`");
        assert_eq!(code("a`b"), r"a\`b");
        assert_eq!(code("a|b"), r"a\|b");
    }
}
