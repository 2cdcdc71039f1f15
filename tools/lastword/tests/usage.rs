//! What is wrong is said in one sentence, with an exit code that scripts know, and leaves nothing behind.

mod support;

use std::fs;

use support::{Place, lastword, text};

#[test]
fn case_38_a_bad_configuration_is_named_and_creates_nothing() {
    let lineitem = "[collections.lineitem]\nsource = \"lake/\"\nspec = { format = \"parquet\" }\n";
    for (config, line, key) in [
        ("stat = \"state\"\n".to_owned(), 1, "stat"),
        ("state = 1\n".to_owned(), 1, "state"),
        ("state = \"state\"\n".to_owned(), 1, "collections"),
        ("state = \"state\"\nstate = \"state\"\n".to_owned(), 2, "duplicate key"),
        (format!("state = \"state\"\nworkers = \"two\"\n{lineitem}"), 2, "workers"),
        (format!("state = \"state\"\n{lineitem}target_rows = 0\n"), 5, "collections.lineitem.target_rows"),
        (format!("state = \"state\"\n{lineitem}quiet = \"soon\"\n"), 5, "collections.lineitem.quiet"),
        (format!("state = \"state\"\n{lineitem}colour = \"red\"\n"), 5, "collections.lineitem.colour"),
        ("state = \"state\"\n[collections.a]\nsource = \"ftp://bucket\"\n".to_owned(), 3, "collections.a.source"),
        ("state = \"state\"\n[collections.a]\nsource = \"x\"\nspec = { format = \"csv\" }\n".to_owned(), 4, "collections.a.spec.format"),
        ("state = \"state\"\n[collections.a]\nsource = \"x\"\nspec = { format = \"parquet\", params = { api_key = \"hunter2\" } }\n".to_owned(), 4, "collections.a.spec.params.api_key"),
    ] {
        let place = Place::new("");
        place.configure(&config);
        for command in ["run", "plan"] {
            let ended = lastword(&[command, text(&place.config())]).expect_code(2);
            let expected = format!("lake.toml:{line}: {key}");
            assert!(ended.stderr.contains(&expected), "{config}\nexpected {expected}\nfound    {}", ended.stderr);
            assert_eq!(ended.stderr.lines().count(), 1, "{}", ended.stderr);
            assert!(!ended.stderr.contains("hunter2") && ended.stdout.is_empty());
            assert!(!place.state().exists());
        }
    }
}

#[test]
fn a_configuration_that_is_not_there_is_named() {
    let ended = lastword(&["run", "/nowhere/lake.toml", "--once"]).expect_code(2);
    assert!(ended.stderr.contains("/nowhere/lake.toml"), "{}", ended.stderr);
    lastword(&["run"]).expect_code(2);
    lastword(&["dance"]).expect_code(2);
}

#[test]
fn a_state_that_is_not_there_or_no_log_is_not_opened_or_changed() {
    let place = Place::new("");
    let absent = place.dir.path().join("absent");
    for arguments in [vec!["status", text(&absent)], vec!["manifest", text(&absent), "lineitem"]] {
        lastword(&arguments).expect_code(3);
        assert!(!absent.exists());
    }
    let lake = place.lake();
    fs::write(lake.join("x"), "x").unwrap();
    lastword(&["status", text(&lake)]).expect_code(3);
    assert_eq!(fs::read_dir(&lake).unwrap().count(), 1);
    // A parent that is not there cannot hold a log.
    place.configure("state = \"a/b/state\"\n[collections.a]\nsource = \"lake\"\nspec = { format = \"parquet\" }\n");
    lastword(&["run", text(&place.config()), "--once"]).expect_code(3);
    assert!(!place.dir.path().join("a").exists());
}

#[test]
fn unknown_names_are_a_mistake_of_the_caller() {
    let place = Place::new("");
    place.write("a.parquet", 1, 0);
    place.once().expect_code(0);
    for arguments in [
        vec!["status", text(&place.state()), "nation"],
        vec!["manifest", text(&place.state()), "nation"],
        vec!["manifest", text(&place.state()), "nation", "--json"],
        vec!["manifest", text(&place.state()), "line\nitem"],
    ] {
        let ended = lastword(&arguments).expect_code(2);
        assert!(ended.stderr.contains("there is no collection"), "{}", ended.stderr);
        assert_eq!((ended.stdout.as_str(), ended.stderr.lines().count()), ("", 1));
    }
}

#[test]
fn a_lost_end_of_the_log_has_an_exit_code_of_its_own() {
    let place = Place::new("");
    place.write("a.parquet", 1, 0);
    place.once().expect_code(0);
    let db = place.state().join("sled/db");
    fs::File::options().write(true).open(&db).unwrap().set_len(0).unwrap();
    for arguments in [vec!["status", text(&place.state())], vec!["run", text(&place.config()), "--once"]] {
        let ended = lastword(&arguments).expect_code(5);
        assert_eq!(ended.stderr.lines().count(), 1, "{}", ended.stderr);
    }
}

#[test]
fn a_plan_says_what_a_build_would_do_and_changes_nothing() {
    let place = Place::new("");
    let plan = || lastword(&["plan", text(&place.config())]);
    let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let row = |ended: &support::Ended| words(ended.stdout.lines().nth(1).unwrap_or_default());
    place.write("a.parquet", 4, 0);
    place.write("b.parquet", 4, 0);
    let ended = plan().expect_code(0);
    assert_eq!(row(&ended)[..7], words("lineitem 2 4,000 0 4 0 4,000"), "{}", ended.stdout);
    assert!(!place.state().exists());

    place.once().expect_code(0);
    let ended = plan().expect_code(0);
    assert_eq!(row(&ended), words("lineitem 2 4,000 4 0 0 0 nothing to build"), "{}", ended.stdout);
    place.write("c.parquet", 2, 0);
    let (before, ended) = (place.manifest(), plan().expect_code(0));
    assert_eq!(row(&ended), words("lineitem 3 5,000 4 1 0 1,000"), "{}", ended.stdout);
    assert_eq!(place.manifest(), before);

    // What a run would hold is foreseen, unless the file says that a loss is a change like any other.
    (0..20).for_each(|n| place.write(format!("d{n}.parquet"), 1, n));
    place.once().expect_code(0);
    (0..20).for_each(|n| std::fs::remove_file(place.lake().join(format!("d{n}.parquet"))).unwrap());
    let ended = plan().expect_code(0);
    assert!(ended.stdout.contains("20 of 23 applied files are gone: held until"), "{}", ended.stdout);
    ["a", "b", "c"].iter().for_each(|n| std::fs::remove_file(place.lake().join(format!("{n}.parquet"))).unwrap());
    let ended = plan().expect_code(0);
    assert!(ended.stdout.contains("its source is empty: held until"), "{}", ended.stdout);
    let config = std::fs::read_to_string(place.config()).unwrap();
    place.configure(&format!("{config}empty_source = \"apply\"\n"));
    let ended = plan().expect_code(0);
    assert!(!ended.stdout.contains("held"), "{}", ended.stdout);

    // What is no data is counted by the reason; what is in the making is none yet.
    std::fs::write(place.lake().join("half.parquet"), "PAR1 and no end").unwrap();
    std::fs::write(place.lake().join("_SUCCESS"), "").unwrap();
    let ended = plan().expect_code(0);
    assert!(ended.stdout.contains("left out: 1 underscore, 1 unfinished"), "{}", ended.stdout);
    place.spoil("bad.parquet", std::time::Duration::ZERO);
    let ended = plan().expect_code(1);
    let said = "lineitem: bad.parquet is not Parquet (no PAR1 at its start). Move what is no data away, or exclude it";
    assert!(ended.stderr.contains(said), "{}", ended.stderr);
}
