//! One line for each scenario.

use crate::simulation::descriptors::Said;

pub(crate) fn write_head(how: &str) {
    println!(
        "\n| {how} | a second | called in time | after, median; latest | leaked by then | \
         withdrawn | false alarms |"
    );
    println!("|---|---|---|---|---|---|---|");
}

pub(crate) fn write_row(name: &str, per_second: f64, is_short: bool, said: &[Said]) {
    let all = said.len();
    let withdrawn: usize = said.iter().map(|said| said.withdrawn).sum();
    if per_second == 0.0 {
        let wrong = said.iter().filter(|said| said.called_s.is_some()).count();
        println!("| {name} | | | | | | {wrong} of {all} |");
        return;
    }
    let in_time = said.iter().filter(|said| said.is_in_time(per_second, is_short)).count();
    let mut after: Vec<f64> = said.iter().filter_map(|said| said.called_s).collect();
    after.sort_by(f64::total_cmp);
    let mut leaked: Vec<usize> = said
        .iter()
        .filter(|said| said.called_s.is_some())
        .map(|said| said.opened_when_called)
        .collect();
    leaked.sort_unstable();
    let times = match after[..] {
        [] if is_short => "at its end".to_owned(),
        [] => "never".to_owned(),
        _ => format!("{:.0} s; {:.0} s", after[after.len() / 2], after[after.len() - 1]),
    };
    let leaked = match leaked[..] {
        [] => String::new(),
        _ => format!("{}; {}", leaked[leaked.len() / 2], leaked[leaked.len() - 1]),
    };
    println!("| {name} | {per_second} | {in_time} of {all} | {times} | {leaked} | {withdrawn} | |");
}
