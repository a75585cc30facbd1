//! Prints a trace as calls of the C functions, for readers who do not know the trace format.

use gpu_buddy::diff::{Operation, TraceFile, format_size};
use gpu_buddy::{AllocRequest, GpuBuddyAllocFlag};

/// Line width, for a mail.
const WIDTH: usize = 68;

/// The calls, one or more lines each, with sizes such as `4K`.
pub fn in_c(file: &TraceFile) -> Vec<String> {
    let trace = file.trace();
    let size = format_size;
    let space = trace.space;
    let init = [size(space.size), size(space.chunk_size)].join(", ");
    let mut lines = vec![format!("gpu_buddy_init(mm, {init});")];
    for operation in &trace.operations {
        let name = |id: u32| file.name(id).unwrap_or("?").to_owned();
        match operation {
            Operation::Alloc { id, request } | Operation::AllocOnto { id, request } => {
                lines.extend(wrap("gpu_buddy_alloc_blocks(", &arguments(&name(*id), request)));
            }
            Operation::Free { id, cleared } => {
                let flags = if *cleared { "GPU_BUDDY_CLEARED" } else { "0" };
                lines.push(format!("gpu_buddy_free_list(mm, &{}, {flags});", name(*id)));
            }
            Operation::Trim { id, start, new_size } => {
                let start =
                    start.map_or("NULL".into(), |start| format!("&(u64){{{}}}", size(start)));
                let (name, new_size) = (name(*id), size(*new_size));
                lines.push(format!("gpu_buddy_block_trim(mm, {start}, {new_size}, &{name});"));
            }
            Operation::ResetClear { clear } => {
                lines.push(format!("gpu_buddy_reset_clear(mm, {clear});"));
            }
            Operation::FailNth { nth, times } => lines.push(match times {
                1 => format!("/* kmem_cache_zalloc() no. {nth} from here on fails */"),
                &u64::MAX => format!("/* kmem_cache_zalloc() no. {nth} and all later ones fail */"),
                times => {
                    format!("/* kmem_cache_zalloc() fails, {times} times from no. {nth} on */")
                }
            }),
            Operation::Fini => lines.push("gpu_buddy_fini(mm);".into()),
            // No finding uses the other operations.
            other => lines.push(format!("/* {other} */")),
        }
    }
    lines
}

fn arguments(name: &str, request: &AllocRequest) -> Vec<String> {
    let AllocRequest { start, end, size, min_block_size, range, top_down, flags, extra_flags } =
        request;
    let mut words = Vec::new();
    let mut add = |has: bool, word: &str| words.extend(has.then(|| word.to_owned()));
    add(*range, "GPU_BUDDY_RANGE_ALLOCATION");
    add(*top_down, "GPU_BUDDY_TOPDOWN_ALLOCATION");
    add(flags.contains(GpuBuddyAllocFlag::Contiguous), "GPU_BUDDY_CONTIGUOUS_ALLOCATION");
    add(flags.contains(GpuBuddyAllocFlag::Clear), "GPU_BUDDY_CLEAR_ALLOCATION");
    add(flags.contains(GpuBuddyAllocFlag::TrimDisable), "GPU_BUDDY_TRIM_DISABLE");
    add(*extra_flags != 0, &format!("{extra_flags:#x}"));
    let flags = if words.is_empty() { "0".to_owned() } else { words.join(" | ") };
    let numbers = [start, end, size, min_block_size].map(|&number| format_size(number));
    let mut all = vec!["mm".to_owned()];
    all.extend(numbers);
    all.push(format!("&{name}"));
    all.extend(flags.split_inclusive("| ").map(str::to_owned));
    all
}

/// A call, wrapped and aligned in the kernel's coding style.
fn wrap(call: &str, arguments: &[String]) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = call.to_owned();
    for (index, argument) in arguments.iter().enumerate() {
        let last = index + 1 == arguments.len();
        let separator = match (last, argument.ends_with("| ")) {
            (true, _) => ");",
            (_, true) => "",
            _ => ", ",
        };
        let word = format!("{argument}{separator}");
        if line.len() + word.trim_end().len() > WIDTH {
            lines.push(line.trim_end().to_owned());
            line = " ".repeat(call.len());
        }
        line += &word;
    }
    lines.push(line);
    lines
}
