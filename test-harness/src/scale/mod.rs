//! Very many services on one host: all are deployed by one command, asked at their own addresses,
//! and then asked as Zipf's law has it; or woken one by one; or churned.

mod churn;
mod crowd;
mod plan;
mod tally;
mod wake;

pub use plan::Plan;

use crowd::Crowd;

/// Carries a plan out, and prints what came of it. Returns whether every answer was right and the
/// kernel's audit found nothing.
///
/// # Panics
///
/// If the host does not come up or does not take the services.
#[must_use]
pub fn run(plan: &Plan) -> bool {
    let mut fine = run_once(plan);
    if let Some(word) = &plan.against {
        let mut other = plan.clone();
        other.kernel.push(word.clone());
        fine &= run_once(&other);
    }
    fine
}

#[expect(clippy::print_stdout, reason = "the figures are the result")]
fn run_once(plan: &Plan) -> bool {
    println!("kernel's command line: {:?}", plan.kernel.join(" "));
    let mut crowd = Crowd::gather(plan);
    let fine = if plan.wake > 0 {
        wake::run(&mut crowd)
    } else if plan.churn > 0 {
        churn::run(&mut crowd)
    } else {
        ask(&mut crowd)
    };
    let audit = crowd.host.audit();
    println!("audit: {audit}");
    println!("{}", crowd.host.denali(["host", "stats"]).succeeds().stdout);
    fine && audit.contains("every invariant holds")
}

/// Asks each once, then as Zipf's law has it.
fn ask(crowd: &mut Crowd<'_>) -> bool {
    let mut fine = crowd.touch();
    for &alpha in &crowd.plan.alphas {
        fine &= crowd.zipf(alpha);
    }
    fine
}
