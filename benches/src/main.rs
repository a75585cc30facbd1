//! x
use gpu_buddy_benches::{instructions, scale, subject::Kind};
use gpu_buddy::diff::{Churn, Space};
fn main() {
    let args: Vec<_> = std::env::args().skip(1).collect();
    let kind = |n: &str| *Kind::ALL.iter().find(|k| k.name() == n).unwrap();
    match args.first().map(|a| a.as_str()) {
      Some("instructions") => { instructions::run(kind(&args[1]), Churn::ALL[args[2].parse::<usize>().unwrap()], args[3].parse().unwrap()); return; }
      Some("point") => { let p = scale::Point { kind: kind(&args[1]), space: Space::new(args[2].parse().unwrap(), args[3].parse().unwrap()), live: args[4].parse().unwrap() };
         if let Some(m) = p.measure_here(args[5].parse().unwrap()).unwrap() { println!("{} {}", m.nanoseconds, m.bytes); } std::process::exit(0); }
      _ => {}
    }
    for load in [0, 2] { for k in [Kind::RawC, Kind::Safe] { println!("{load} {k:?} {:#?}", instructions::count(k, load, 5000).unwrap()); } }
    for live in [1_000u32, 1_000_000] { for k in Kind::ALL { let p = scale::Point { kind: *k, space: Space::new(1<<40, 4096), live };
       let t = std::time::Instant::now(); println!("{live} {k:?} {:?} {:?}", p.measure(if *k==Kind::RangeAlloc {200} else {20000}), t.elapsed()); } }
}
