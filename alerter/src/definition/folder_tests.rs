use super::*;

const METRIC: &str = "[[metric]]\nname = \"bookings\"\ndataset = \"shop\"\n";

fn folder() -> (tempfile::TempDir, Folder) {
    let root = tempfile::tempdir().unwrap();
    let folder = Folder::new(root.path().to_owned());
    (root, folder)
}

#[test]
fn a_bad_file_keeps_its_last_good_version_and_heals() {
    let (root, mut folder) = folder();
    let path = root.path().join("a.toml");
    std::fs::write(&path, METRIC).unwrap();
    assert!(folder.reread());
    assert!(!folder.reread(), "nothing changed");
    std::fs::write(&path, format!("{METRIC}smalest_drop = 0.3\n")).unwrap();
    assert!(folder.reread());
    assert!((folder.metrics()["bookings"].smallest_drop - 0.12).abs() < 1e-9);
    assert_eq!(folder.problems().len(), 1);
    assert!(!folder.reread(), "the same problem is no news");
    assert_eq!(folder.problems().len(), 1);
    std::fs::write(&path, format!("{METRIC}smallest_drop = 0.3\n")).unwrap();
    assert!(folder.reread());
    assert!((folder.metrics()["bookings"].smallest_drop - 0.3).abs() < 1e-9);
    assert!(folder.problems().is_empty());
    std::fs::remove_file(&path).unwrap();
    assert!(folder.reread());
    assert!(folder.metrics().is_empty());
}

#[test]
fn links_between_files_are_checked() {
    let (root, mut folder) = folder();
    std::fs::write(root.path().join("a.toml"), format!("{METRIC}channels = [\"oncal\"]\n")).unwrap();
    std::fs::write(root.path().join("b.toml"), METRIC).unwrap();
    std::fs::write(
        root.path().join("c.toml"),
        "[[channel]]\nname = \"oncall\"\nkind = \"pagerduty\"\nrouting_key_file = \"k\"\nfallback = \"chat\"\n",
    )
    .unwrap();
    folder.reread();
    let shown: Vec<String> = folder.problems().iter().map(ToString::to_string).collect();
    assert_eq!(shown.len(), 3, "{shown:#?}");
    assert!(shown[0].contains("did you mean \"oncall\"?"), "{shown:#?}");
    assert!(shown[1].contains("already defined in a.toml:1"), "{shown:#?}");
    assert!(shown[2].contains("\"chat\""), "{shown:#?}");
    assert_eq!(folder.metrics()["bookings"].file, "a.toml");
}

#[test]
fn check_names_unreadable_secrets() {
    let (root, _) = folder();
    let text = "[[channel]]\nname = \"oncall\"\nkind = \"pagerduty\"\nrouting_key_env = \"PD_KEY\"\n";
    std::fs::write(root.path().join("c.toml"), text).unwrap();
    let problems = check(root.path(), &Environment::default());
    assert!(problems[0].message.contains("\"PD_KEY\""), "{problems:?}");
    let set = Environment::new(|name| (name == "PD_KEY").then(|| "k".to_owned()));
    assert!(check(root.path(), &set).is_empty());
}

#[test]
fn a_folder_that_does_not_exist_is_empty() {
    let mut folder = Folder::new(PathBuf::from("/nonexistent/metrics"));
    assert!(!folder.reread());
}

#[test]
fn event_days_and_masks_belong_to_their_metric() {
    let (root, mut folder) = folder();
    let definition = format!(
        "{METRIC}calendar = \"days.csv\"\ncalendar_scope = \"nl\"\n[[mask]]\nmetric = \"bookings\"\n\
         from = \"2026-11-20T10:00:00Z\"\nto = \"2026-11-20T12:00:00Z\"\nreason = \"load test\"\nauthor = \"j.doe\"\n"
    );
    std::fs::write(root.path().join("a.toml"), &definition).unwrap();
    folder.reread();
    assert!(folder.problems()[0].message.contains("calendar \"days.csv\""), "{:?}", folder.problems());
    std::fs::write(root.path().join("days.csv"), "2026-12-25,Christmas,nl\n2026-11-26,Thanksgiving,us\n").unwrap();
    assert!(folder.reread(), "a calendar that appears is taken");
    let metric = folder.metrics()["bookings"].clone();
    assert!(folder.problems().is_empty());
    assert_eq!(
        (metric.calendar.on(20_812).map(|event| event.name.as_str()), metric.masks.len()),
        (Some("Christmas"), 1)
    );
    assert!(metric.calendar.on(20_783).is_none(), "another market's day");
    assert_eq!(metric.masks[0].author.as_deref(), Some("j.doe"));
    std::fs::write(root.path().join("days.csv"), "25.12.2026,Christmas\n").unwrap();
    folder.reread();
    assert!(folder.metrics()["bookings"].calendar.on(20_812).is_some(), "the days known before stay in force");
    std::fs::write(root.path().join("b.toml"), "[[mask]]\nmetric = \"bokings\"\nfrom = \"x\"\n").unwrap();
    folder.reread();
    assert!(folder.problems().iter().any(|problem| problem.message.contains("RFC 3339")));
}
