//! Guards the complexity of calls: the steps of fixed loads may not grow. Steps do not depend on
//! the machine, so this fails only if a call walks further.

use gpu_buddy::diff::{Churn, Implementation, KernelC, Operation};
use gpu_buddy::module::Module;

/// The most steps of 1000 calls, for each load: those of the series 6.12 to 7.3, which are the same,
/// and up to 3 % more.
const MOST: [f64; Churn::ALL.len()] = [2_000.0, 2_100.0, 5_650.0, 26_200.0, 5_150.0, 3_700.0];

/// The steps of 1000 calls on average, once the load is filled. `None` if the kernel does not
/// support it.
fn steps(module: Module, churn: Churn, live: u32) -> Option<f64> {
    const PAIRS: usize = 4_000;
    if churn.contiguous && !module.has("contiguous") {
        return None;
    }
    let churn = Churn { live, ..churn };
    let mut kernel = KernelC::new(module, churn.space).expect("an allocator");
    let mut allocations = Vec::new();
    let mut costs = Vec::new();
    for operation in churn.trace(1, 2 * live as usize + PAIRS).operations {
        match operation {
            Operation::Alloc { request, .. } => {
                allocations.push(Some(kernel.alloc(&request).expect("room")));
            }
            Operation::Free { id, cleared } => {
                kernel.free(allocations[id as usize].take().expect("it is allocated"), cleared);
            }
            other => panic!("{other:?}"),
        }
        costs.push(kernel.report().cost.expect("the C is counted"));
    }
    let calls = 2 * PAIRS;
    let last = &costs[costs.len() - calls..];
    Some(1000.0 * last.iter().sum::<u64>() as f64 / calls as f64)
}

/// The loads that take more steps than they may.
fn too_slow(module: Module) -> Vec<&'static str> {
    let loads = Churn::ALL.into_iter().zip(MOST).filter(|&(churn, most)| {
        let steps = steps(module, churn, 2_000);
        println!("{}: {steps:.0?} steps in 1000 calls, at most {most}", churn.name);
        steps.is_some_and(|steps| steps > most)
    });
    loads.map(|(churn, _)| churn.name).collect()
}

#[test]
fn no_call_walks_further_than_before() {
    assert_eq!(too_slow(Module::compiled_in()), [""; 0], "if that is right, raise `MOST`");
}

#[test]
fn steps_do_not_grow_with_the_number_of_live_allocations() {
    for churn in Churn::ALL {
        let steps = |live| steps(Module::compiled_in(), churn, live);
        let (Some(few), Some(many)) = (steps(500), steps(8_000)) else { continue };
        assert!(many < 1.1 * few, "{}: {few:.0} and {many:.0} steps", churn.name);
    }
}

#[cfg(feature = "module")]
mod planted {
    use rstest::rstest;

    use super::*;
    use crate::common::{copy_of_kernel, edit_allocator};

    /// The last block of a tree is searched from the first one.
    const WHOLE_TREE: [&str; 3] = [
        "rbtree_last_free_block(struct",
        "rb_last(root)",
        "({ struct rb_node *last = rb_first(root); \
         while (last && rb_next(last)) last = rb_next(last); last; })",
    ];

    /// For each block of a list, the rest of the list is walked.
    const REST_OF_LIST: [&str; 3] = [
        "static void __gpu_buddy_free_list(",
        "gpu_buddy_free_block(mm, block);",
        "for (struct gpu_buddy_block *rest = block; !list_entry_is_head(rest, objects, link); \
         rest = list_next_entry(rest, link)) ; gpu_buddy_free_block(mm, block);",
    ];

    #[rstest]
    #[case::whole_tree(WHOLE_TREE, 0)]
    #[case::rest_of_list(REST_OF_LIST, 2)]
    fn a_kernel_that_walks_further_is_seen(#[case] edit: [&str; 3], #[case] load: usize) {
        let (tree, [after, from, to]) = (copy_of_kernel(), edit);
        if edit_allocator(tree.path(), after, from, to) {
            let module = Module::open(tree.path().as_os_str()).expect("it compiles");
            let slow = too_slow(module);
            assert!(slow.contains(&Churn::ALL[load].name), "{slow:?}");
        }
    }
}
