//! Shared limits leave room for others, however much one client takes: compares the table in
//! `access::threats` with the numbers in `limits` and in the settings, and with its tests.

use super::tidy::files;

/// One client may take at most one part in this many of a shared resource.
const PART: u64 = 3;

/// A row of the table.
struct ShareRow {
    all: String,
    one: String,
    tests: Vec<String>,
}

/// Returns the names in backticks.
fn names(cell: &str) -> Vec<String> {
    let parts = cell.split('`').skip(1).step_by(2);
    parts.map(str::to_owned).collect()
}

fn rows() -> Vec<ShareRow> {
    let files = files();
    let threats = files.iter().find(|file| file.path == "access/threats.rs");
    let text = &threats.expect("the threat model").text;
    let (_, table) = text
        .split_once("//! | all have |")
        .expect("a table of shares");
    let lines = table
        .lines()
        .skip(2)
        .map_while(|line| line.strip_prefix("//! | "));
    let row = |line: &str| {
        let cells: Vec<&str> = line.trim_end_matches(" |").split(" | ").collect();
        let [all, one, _, _, tests] = cells[..] else {
            panic!("not a row of five cells: {line}");
        };
        ShareRow {
            all: names(all).concat(),
            one: names(one).concat(),
            tests: names(tests),
        }
    };
    lines.map(row).collect()
}

/// Returns the value of a limit, or the default of a setting.
fn number(name: &str) -> u64 {
    let constant = format!("pub const {name}: ");
    let setting = format!("env = \"{name}\", default_value_t = ");
    let number = files().iter().find_map(|file| {
        let after = if file.path == "limits.rs" {
            let (_, rest) = file.text.split_once(&constant)?;
            rest.split_once(" = ")?.1
        } else if file.path.starts_with("config/") {
            file.text.split_once(&setting)?.1
        } else {
            return None;
        };
        let end = after.find(|c: char| !c.is_ascii_digit() && c != '_')?;
        after[..end].replace('_', "").parse().ok()
    });
    number.unwrap_or_else(|| panic!("{name} is neither a bound nor a setting with a number"))
}

#[test]
fn every_shared_bound_leaves_room_for_others() {
    let rows = rows();
    assert!(rows.len() >= 11, "the table has only {} rows", rows.len());
    for ShareRow { all, one, .. } in rows {
        let (whole, share) = (number(&all), number(&one));
        assert!(share > 0, "{one} leaves nobody anything");
        assert!(
            share * PART <= whole,
            "{one} ({share}) is more than a part in {PART} of {all} ({whole})"
        );
    }
}

#[test]
fn every_shared_bound_names_tests_that_are_there() {
    let files = files();
    for ShareRow { all, tests, .. } in rows() {
        assert!(!tests.is_empty(), "{all} names no test");
        for test in tests {
            let wanted = format!("fn {test}(");
            let is_there = files.iter().any(|file| file.text.contains(&wanted));
            assert!(is_there, "{all}: there is no test {test}");
        }
    }
}
