//! What a planted fault is, and where it goes.

use std::ops::Range;

pub struct Fault {
    pub name: &'static str,
    pub function: &'static str,
    pub edit: Edit,
    pub shows: Shows,
}

/// An edit of a function, at the first occurrence of a short text.
pub enum Edit {
    /// Leaves out the statement that begins on the line with this text.
    Skip(&'static str),
    /// Puts another expression in place of one.
    Put(&'static str, &'static str),
}

/// How a fault comes to light.
#[derive(Clone, Copy, PartialEq)]
pub enum Shows {
    /// In lockstep with the reference model.
    InLockstep,
    /// In lockstep; the process may also die, or hang.
    MayDie,
    /// Only if threads share an allocator.
    AmongThreads,
    /// Only if memory for the allocator's own objects runs out.
    UnderFaults,
}

pub const fn fault(name: &'static str, function: &'static str, edit: Edit, shows: Shows) -> Fault {
    Fault { name, function, edit, shows }
}

/// The body of the function `name`, if there is one function of that name.
pub fn body(source: &str, name: &str) -> Option<Range<usize>> {
    let call = format!("{name}(");
    let definitions: Vec<_> = source
        .match_indices(&call)
        .filter(|&(place, _)| !source[..place].ends_with(|c: char| c.is_alphanumeric() || c == '_'))
        .filter_map(|(place, _)| {
            let end = place + source[place..].find(')')?;
            source[end..].starts_with(")\n{").then_some(end + 2)
        })
        .collect();
    let [start] = definitions[..] else { return None };
    let length = source[start..].find("\n}\n").expect("a function ends");
    Some(start..start + length)
}

/// The place of a fault in the source, if it has one: a statement, or an expression.
pub fn place(source: &str, fault: &Fault) -> Option<Range<usize>> {
    let body = body(source, fault.function)?;
    let (Edit::Skip(text) | Edit::Put(text, _)) = fault.edit;
    let start = body.start + source[body].find(text)?;
    Some(match fault.edit {
        Edit::Skip(_) => {
            let line = source[..start].rfind('\n').map_or(0, |end| end + 1);
            let end = start + source[start..].find(';').expect("a statement ends") + 1;
            end - source[line..end].trim_start().len()..end
        }
        Edit::Put(text, _) => start..start + text.len(),
    })
}
