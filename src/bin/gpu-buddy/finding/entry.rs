//! Reads a finding from its page under docs/findings/.
//!
//! The page is the only source of a finding. It has a title, a list of facts (`- key: value`), and
//! sections, one of which may have a trace or code. It is Markdown with lines that are short enough
//! for a mail.

use serde::Serialize;

/// A finding.
#[derive(Debug, Serialize)]
pub struct Finding {
    pub name: &'static str,
    pub title: &'static str,
    pub kind: Kind,
    pub sure: Sure,
    /// The promise of the contract that the trace breaks, if any.
    pub breaks: Option<&'static str>,
    /// Where the promise is documented, as FILE:LINE IDENTIFIER. The lines are those of the newest
    /// release in `shown_by`, or else in `not_by`.
    pub rests_on: Vec<&'static str>,
    pub shown_by: Vec<Release>,
    pub not_by: Vec<Release>,
    /// The commits that added and fixed it, if no tested release shows it.
    pub history: Option<&'static str>,
    /// How to run the trace.
    pub run: Option<Run>,
    /// If the kernel has the finding, the output of the run contains one of these texts.
    pub shows: Vec<&'static str>,
    pub trace: Option<&'static str>,
    /// The body of a test function for kernel-binding/, which returns true if the kernel has the
    /// finding.
    pub code: Option<&'static str>,
    pub sections: Vec<Section>,
}

/// The kind of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// The code does not do what it should.
    Bug,
    /// The behaviour is surprising, but may be intended.
    Quirk,
    /// The documentation has a gap; the code may be right.
    Documentation,
}

/// How sure the kind is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sure {
    /// The documentation and the code contradict each other, or memory is corrupted.
    Certain,
    /// The code does it on purpose.
    ByDesign,
    /// It depends on the reading of the documentation.
    Judgement,
}

/// How to reproduce a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Run {
    /// `gpu-buddy replay --strict --against contract`
    Replay,
    /// `gpu-buddy replay --cost`
    Cost,
    /// `gpu-buddy binding`
    Binding,
    /// A build of the C with the address sanitizer.
    Sanitizer,
}

/// A release of the kernel, and the reason if it does not show a finding.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Release {
    pub version: &'static str,
    pub why: Option<&'static str>,
}

#[derive(Clone, Copy, Debug, Serialize)]
pub struct Section {
    pub title: &'static str,
    /// The Markdown text.
    pub text: &'static str,
}

impl Finding {
    /// # Errors
    ///
    /// Describes what is wrong with the page.
    pub fn read(name: &'static str, page: &'static str) -> Result<Self, String> {
        let (head, body) = page.split_once("\n## ").ok_or("no section")?;
        let mut lines = head.lines().filter(|line| !line.is_empty());
        let title = lines.next().and_then(|line| line.strip_prefix("# ")).ok_or("no title")?;
        let facts = lines.map(|line| {
            let fact = line.strip_prefix("- ").and_then(|fact| fact.split_once(": "));
            fact.ok_or_else(|| format!("not a fact: {line}"))
        });
        let facts: Vec<_> = facts.collect::<Result<_, _>>()?;
        let all = |key: &'static str| {
            facts.iter().filter(move |fact| fact.0 == key).map(|fact| fact.1.trim_matches('`'))
        };
        let one = |key: &'static str| all(key).next().ok_or_else(|| format!("no {key}"));
        const KEYS: &[&str] = &[
            "kind", "sure", "breaks", "rests on", "shown by", "not by", "history", "run", "shows",
        ];
        if let Some((key, _)) = facts.iter().find(|fact| !KEYS.contains(&fact.0)) {
            return Err(format!("unknown fact: {key}"));
        }
        let sections = body.split("\n## ").map(|section| {
            let (title, text) = section.split_once('\n').unwrap_or((section, ""));
            Section { title, text: text.trim_matches('\n') }
        });
        Ok(Self {
            name,
            title,
            kind: match one("kind")? {
                "bug" => Kind::Bug,
                "quirk" => Kind::Quirk,
                "documentation" => Kind::Documentation,
                other => return Err(format!("kind: {other}")),
            },
            sure: match one("sure")? {
                "certain" => Sure::Certain,
                "by design" => Sure::ByDesign,
                "judgement" => Sure::Judgement,
                other => return Err(format!("sure: {other}")),
            },
            breaks: all("breaks").next(),
            rests_on: all("rests on").collect(),
            shown_by: releases(one("shown by")?),
            not_by: releases(one("not by")?),
            history: all("history").next(),
            run: match all("run").next() {
                None => None,
                Some("replay") => Some(Run::Replay),
                Some("cost") => Some(Run::Cost),
                Some("binding") => Some(Run::Binding),
                Some("sanitizer") => Some(Run::Sanitizer),
                Some(other) => return Err(format!("run: {other}")),
            },
            shows: all("shows").collect(),
            trace: fenced(page, "trace"),
            code: fenced(page, "rust"),
            sections: sections.collect(),
        })
    }
}

/// `7.3.4, 6.1.176 (why it does not)`, or `none`.
fn releases(text: &'static str) -> Vec<Release> {
    let mut releases = Vec::new();
    let mut rest = text;
    while !rest.is_empty() && rest != "none" {
        let end = rest.find([',', '(']).unwrap_or(rest.len());
        let (version, after) = rest.split_at(end);
        let (why, after) = match after.strip_prefix('(').and_then(|why| why.split_once(')')) {
            Some((why, after)) => (Some(why), after),
            None => (None, after),
        };
        releases.push(Release { version: version.trim(), why });
        rest = after.trim_start_matches([',', ' ']);
    }
    releases
}

/// The first fenced block of a language.
fn fenced(page: &'static str, language: &str) -> Option<&'static str> {
    let (_, block) = page.split_once(&format!("\n```{language}\n"))?;
    let end = block.find("```")?;
    Some(&block[..end])
}
