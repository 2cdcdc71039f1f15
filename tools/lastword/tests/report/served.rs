//! The same page, served by a run: it follows what happens, and asks nobody but the run.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::process::Child;
use std::time::Duration;

use lastword::{Built, Context, Declaration, Failure, Kind, Name, Reconciler, Source, Worker};

use serde_json::{Value, json};

use super::browser::Browser;
use super::support::{self, Place, lastword, text};

/// A run that answers over TCP, and where.
fn served(place: &Place, more: &[&str]) -> (Child, String) {
    let mut command = support::program();
    command.args(["run", text(&place.config()), "--quiet", "--http", "127.0.0.1:0"]).args(more);
    command.env("LASTWORD_TEST_TOKEN", "a-token-of-this-test");
    let mut child = command.spawn().unwrap();
    let mut said = BufReader::new(child.stderr.take().unwrap());
    let address = loop {
        let mut line = String::new();
        assert!(said.read_line(&mut line).unwrap() > 0, "it did not say where");
        if let Some((_, rest)) = line.split_once("http://") {
            break rest.split('/').next().unwrap().to_owned();
        }
    };
    // Somebody has to read it.
    std::thread::spawn(move || std::io::copy(&mut said, &mut std::io::sink()));
    (child, format!("http://{address}/"))
}

fn end(child: Child) {
    support::signal(&child, "TERM");
    assert_eq!(child.wait_with_output().unwrap().status.code(), Some(0));
}

#[track_caller]
fn wait_for_rows(browser: &mut Browser, rows: u64) {
    let script = format!(
        "return document.documentElement.dataset.complete === 'yes' && lastword.rows('').some((row) => row.rows === {rows})"
    );
    browser.wait(&script, &format!("{rows} rows are shown"));
}

#[test]
fn a_page_that_a_run_serves_follows_it_and_shows_what_status_shows() {
    let Some(mut browser) = Browser::start() else { return };
    let place = Place::new("quiet = \"50ms\"\n");
    place.look_often();
    place.write("a.parquet", 2, 0);
    let (child, address) = served(&place, &[]);
    browser.ask(&json!({"do": "open", "url": address}));
    wait_for_rows(&mut browser, 1000);
    // What happens is shown without anybody's doing.
    place.write("b.parquet", 4, 0);
    wait_for_rows(&mut browser, 3000);
    let ended = lastword(&["status", text(&place.config()), "--json"]).expect_code(0);
    let status: Value = serde_json::from_str(ended.stdout.lines().next().unwrap()).unwrap();
    let row = browser.run("return lastword.rows('')[0]");
    for key in
        ["rows", "generation", "applied", "wanted", "applied_seq", "segments_new", "condition", "policy", "source"]
    {
        assert_eq!(row[key], status[key], "{key}");
    }
    assert_eq!(browser.texts("#collections .rows .row:not([hidden]) > :nth-child(7)"), ["3,000"]);
    // One goes back, and what happens meanwhile changes nothing of it.
    browser.ask(&json!({"do": "open", "url": format!("{address}#fleet?at=2")}));
    browser.wait("return document.documentElement.dataset.complete === 'yes'", "the page is complete");
    assert_eq!(browser.run("return lastword.rows('2')[0].rows"), Value::Null);
    // Why names files here as well.
    browser.run("location.hash = '#why?event=3'");
    browser.wait("return document.querySelector('.why .files') !== null", "the files are named");
    assert!(browser.text(".why .files").contains("a.parquet"));
    let requests: Vec<String> = serde_json::from_value(browser.ask(&json!({"do": "requests"}))).unwrap();
    let others: Vec<&String> =
        requests.iter().filter(|url| !url.starts_with(&address) && !url.starts_with("data:")).collect();
    assert!(others.is_empty() && requests.iter().any(|url| url.contains("/v1/report?from=")), "{requests:?}");
    assert_eq!(browser.ask(&json!({"do": "complaints"})), json!([]));
    // A run that ends is told.
    end(child);
    browser.wait("return document.getElementById('notice').textContent.includes('does not answer')", "the end is told");
}

#[test]
fn a_page_asks_for_the_token_of_its_run() {
    let Some(mut browser) = Browser::start() else { return };
    let place = Place::new("");
    place.write("a.parquet", 2, 0);
    let (child, address) = served(&place, &["--http-token", "env:LASTWORD_TEST_TOKEN"]);
    browser.ask(&json!({"do": "open", "url": address}));
    browser.wait("return document.getElementById('token') !== null", "the token is asked for");
    assert_eq!(browser.run("return document.querySelectorAll('main .row').length"), json!(0));
    browser.keys(Some("#token"), &["wrong-token-of-this-test", "@ENTER"]);
    browser.wait("return document.getElementById('token')?.value === ''", "it is asked for again");
    browser.keys(Some("#token"), &["a-token-of-this-test", "@ENTER"]);
    wait_for_rows(&mut browser, 1000);
    end(child);
}

struct Press;

impl Worker for Press {
    fn run(&self, _: &Context) -> Result<Built, Failure> {
        Ok(Built::default())
    }
}

/// A collection of another program, whose kind no `lastword run` builds.
fn declare_of_another_program(place: &Place) {
    let kind = Kind::new("press").unwrap();
    let reconciler = Reconciler::open(place.state()).kind(kind.clone(), Press).start().unwrap();
    let declaration = Declaration::new(Name::new("posters").unwrap()).kind(kind);
    reconciler.handle().declare(declaration.source(Source::new("wall").unwrap())).unwrap();
    reconciler.shutdown(Duration::from_secs(60)).unwrap();
}

#[test]
fn a_page_of_a_run_shows_what_only_the_run_knows_and_only_at_the_newest_moment() {
    let Some(mut browser) = Browser::start() else { return };
    // A store that takes connections and never answers.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let place = Place::new(&format!(
        "quiet = \"50ms\"\n[collections.silent]\nsource = \"s3://silent/\"\nspec = {{ format = \"parquet\" }}\n\
         [stores.\"s3://silent\"]\nendpoint = \"http://{}\"\nregion = \"us-east-1\"\nallow_http = true\nanonymous = true\n",
        silent.local_addr().unwrap()
    ));
    place.look_often();
    place.write("a.parquet", 2, 0);
    declare_of_another_program(&place);
    let (child, address) = served(&place, &[]);
    browser.ask(&json!({"do": "open", "url": address}));
    wait_for_rows(&mut browser, 1000);
    let condition =
        |name: &str, at: &str| format!("return lastword.rows({at}).find((row) => row.name === '{name}')?.condition");
    for (name, word) in [("posters", "no_worker"), ("silent", "not_observed"), ("lineitem", "fresh")] {
        browser.wait(&format!("{} === '{word}'", condition(name, "''")), &format!("{name} is {word}"));
    }
    // As `status` says it.
    for name in ["posters", "silent"] {
        let ended = lastword(&["status", text(&place.config()), name, "--json"]).expect_code(0);
        let status: Value = serde_json::from_str(ended.stdout.lines().next().unwrap()).unwrap();
        let row = browser.run(&format!("return lastword.rows('').find((row) => row.name === '{name}')"));
        for key in ["condition", "cause", "because", "not_observed", "lag_seconds", "until"] {
            assert_eq!(row[key], status[key], "{name}: {key}");
        }
    }
    let causes = browser.texts("#collections .rows .row:not([hidden]) > :nth-child(5)").join("\n");
    for expected in ["nobody builds its kind", "not looked at since", "has not returned"] {
        assert!(causes.contains(expected), "{expected}: {causes}");
    }
    assert_eq!(browser.run("return lastword.shown().at(-1)"), json!("lineitem"), "what needs nobody comes last");
    // The log knows none of it, and so it is not said of an event.
    let last = browser.run("return document.getElementById('slider').max");
    for name in ["posters", "silent"] {
        let found = browser.run(&condition(name, &format!("'{}'", last.as_str().unwrap())));
        assert_eq!(found, json!("awaiting_observation"), "{name}");
    }
    // A cause goes with what caused it.
    drop(silent);
    browser.wait(&format!("{} === 'unobservable'", condition("silent", "''")), "the look at the store has failed");
    assert_eq!(browser.ask(&json!({"do": "complaints"})), json!([]));
    end(child);
}

/// All that a page holds, at each of its moments and of each of its events.
fn held(browser: &mut Browser, address: &str, last: u64) -> Vec<Value> {
    let rows = "return [...Array(arguments[0]).keys()].map((seq) => JSON.stringify(lastword.rows(String(seq + 1))))";
    let mut all = vec![browser.run_with(rows, &json!(last))];
    let shown = "return document.documentElement.dataset.shown";
    for view in ["collection?of=lineitem", "time", "why?of=lineitem"] {
        let view = format!("{view}{}at={last}", if view.contains('?') { '&' } else { '?' });
        browser.ask(&json!({"do": "open", "url": format!("{address}#{view}")}));
        let name = view.split('?').next().unwrap();
        browser.wait(&format!("{shown} === '{name} {last}'"), &format!("{view} is shown"));
        let rows = browser.texts("main .rows .row");
        assert!(!rows.is_empty(), "{view}");
        all.push(json!(rows));
        all.push(json!(browser.texts("main .card")));
    }
    all
}

#[test]
fn a_page_that_was_told_in_pieces_holds_what_one_that_is_opened_anew_holds() {
    let Some(mut browser) = Browser::start() else { return };
    let place = Place::new("quiet = \"50ms\"\n");
    place.look_often();
    place.write("a.parquet", 2, 0);
    let (child, address) = served(&place, &[]);
    browser.ask(&json!({"do": "open", "url": address}));
    wait_for_rows(&mut browser, 1000);
    // From a page that was told a moment ago only what has come since is asked.
    let mut client = place.client();
    let first = client.get("/v1/report").unwrap().json();
    let (next, before) = (first["next"].as_u64().unwrap(), first["data"]["log"]["before"].as_u64().unwrap());
    let mut rows = 1000;
    for (file, groups) in [("b.parquet", 2), ("c.parquet", 4), ("d.parquet", 2)] {
        place.write(file, groups, 0);
        rows += 500 * groups as u64;
        wait_for_rows(&mut browser, rows);
    }
    let more = client.get(&format!("/v1/report?from={next}&before={before}")).unwrap().json();
    let told = more["next"].as_u64().unwrap() - next;
    assert!(told > 3 && more.get("data").is_none(), "{more}");
    for list in [&more["more"]["events"]["at"], &more["sentences"]] {
        assert_eq!(list.as_array().unwrap().len() as u64, told, "{list}");
    }
    assert_eq!(more["more"]["collections"], json!([]), "it was told of its one collection");
    // Whoever holds something else gets all of it.
    let whole = client.get(&format!("/v1/report?from={next}&before={}", before + 1)).unwrap().json();
    assert!(whole.get("more").is_none() && whole["data"]["events"]["at"].as_array().unwrap().len() as u64 > told);
    lastword(&["pause", text(&place.state()), "lineitem"]).expect_code(0);
    browser.wait("return lastword.rows('')[0].paused", "the pause is shown");
    let last: u64 = browser.run("return document.getElementById('slider').max").as_str().unwrap().parse().unwrap();
    let pieces = held(&mut browser, &address, last);
    let asked =
        "return performance.getEntriesByType('resource').filter(({name}) => name.endsWith('/v1/report')).length";
    assert_eq!(browser.run(asked), json!(1), "it was told of all once");
    browser.ask(&json!({"do": "open", "url": "about:blank"}));
    browser.ask(&json!({"do": "open", "url": address}));
    wait_for_rows(&mut browser, rows);
    assert_eq!(held(&mut browser, &address, last), pieces);
    assert_eq!(browser.ask(&json!({"do": "complaints"})), json!([]));
    end(child);
}

#[test]
fn the_slider_of_a_run_goes_back_to_the_beginning_of_its_log_and_to_the_end_again() {
    let Some(mut browser) = Browser::start() else { return };
    let place = Place::new("");
    place.write("a.parquet", 2, 0);
    let stream = place.dir.path().join("large.evlog");
    super::world::large(20, 12_500).export(&stream);
    lastword::evlog::import(&mut std::fs::File::open(&stream).unwrap(), place.state()).unwrap();
    let (child, address) = served(&place, &[]);
    browser.ask(&json!({"do": "open", "url": address}));
    wait_for_rows(&mut browser, 1000);
    assert_eq!(browser.run("return document.getElementById('slider').min"), json!("0"), "all of the log");
    let slide = "const slider = document.getElementById('slider'); slider.value = arguments[0]; \
                 slider.dispatchEvent(new Event('input', {bubbles: true}))";
    let shown = |seq: u64| format!("return document.documentElement.dataset.shown === 'fleet {seq}'");
    for seq in [700, 11_000, 30] {
        browser.run_with(slide, &json!(seq));
        browser.wait(&shown(seq), &format!("event {seq} is shown"));
        let found = browser.run_with("return lastword.rows(String(arguments[0]))", &json!(seq));
        let told = lastword(&["state", text(&stream), "--at", &seq.to_string(), "--json"]).expect_code(0).stdout;
        // Behind the collections stands what they add up to.
        let told: Vec<&str> = told.lines().filter(|line| line.starts_with("{\"v\":1,\"name\"")).collect();
        for (row, line) in found.as_array().unwrap().iter().zip(&told) {
            let line: Value = serde_json::from_str(line).unwrap();
            for key in ["name", "generation", "applied", "wanted", "condition", "because", "rows", "task"] {
                assert_eq!(row[key], line[key], "{key} at {seq}");
            }
        }
        assert_eq!(found.as_array().unwrap().len(), told.len(), "at {seq}");
        assert_eq!(browser.run("return document.getElementById('slider').value"), json!(seq.to_string()));
    }
    browser.click("#end");
    wait_for_rows(&mut browser, 1000);
    browser.wait("return document.getElementById('told').textContent.endsWith('the end')", "the end is shown");
    assert_eq!(browser.ask(&json!({"do": "complaints"})), json!([]));
    end(child);
}
