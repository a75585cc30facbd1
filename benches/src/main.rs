//! x
use gpu_buddy_benches::walks;
fn main() {
    for w in walks::Walk::ALL { for n in [16, 64, 256, 1024, 4096] { println!("{} {n} {:?}", w.name, w.cost(n)); } }
    for c in gpu_buddy::diff::Churn::ALL { println!("{} {:?}", c.name, walks::steps(c, 5000)); }
}
