// SPDX-License-Identifier: Apache-2.0
//! The image config and its history.

use serde_json::json;

use crate::lowered::{Lowered, lower};

#[test]
fn rule_12_workdir_and_user_take_the_rest_of_the_line() {
    let config = lower("FROM alpine\nUSER a b\nWORKDIR /x y\n").config();
    assert_eq!(
        (&config["User"], &config["WorkingDir"]),
        (&json!("a b"), &json!("/x y"))
    );
}

#[test]
fn rule_13_ranges_of_ports() {
    let config = lower("FROM alpine\nARG p=9000-9001/UDP\nEXPOSE 80 $p\n").config();
    let ports = config["ExposedPorts"].as_object().expect("ports").keys();
    assert_eq!(
        ports.collect::<Vec<_>>(),
        ["80/tcp", "9000/udp", "9001/udp"]
    );
}

#[test]
fn rule_62_the_shell_is_saved_and_inherited() {
    let config = lower("FROM alpine AS a\nSHELL [\"s\"]\nFROM a\nCMD c\n").config();
    assert_eq!(
        (&config["Shell"], &config["Cmd"]),
        (&json!(["s"]), &json!(["s", "c"]))
    );
}

#[test]
fn rules_63_and_88_path_and_directory_of_scratch() {
    let path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    let config = lower("FROM scratch\nLABEL a=b\n").config();
    assert_eq!(
        (&config["Env"], &config["WorkingDir"]),
        (&json!([path]), &json!("/"))
    );
    let config = lower("FROM empty\nLABEL a=b\n").config();
    assert_eq!(
        config["Env"],
        json!([path]),
        "an image without PATH gets one"
    );
}

#[test]
fn rule_79_an_entrypoint_drops_the_command_of_the_base() {
    for (rule, text, cmd) in [
        ("of an image", "FROM alpine\nENTRYPOINT [\"e\"]\n", None),
        (
            "of a stage",
            "FROM alpine AS a\nCMD [\"c\"]\nFROM a\nENTRYPOINT [\"e\"]\n",
            None,
        ),
        (
            "not its own before",
            "FROM alpine\nCMD [\"c\"]\nENTRYPOINT [\"e\"]\n",
            Some("c"),
        ),
        (
            "not its own after",
            "FROM alpine\nENTRYPOINT [\"e\"]\nCMD [\"c\"]\n",
            Some("c"),
        ),
    ] {
        assert_eq!(lower(text).config()["Cmd"][0].as_str(), cmd, "{rule}");
    }
}

#[test]
fn empty_json_forms_leave_nothing() {
    let config = lower("FROM alpine\nCMD []\nENTRYPOINT []\n").config();
    assert!(
        config["Cmd"].is_null() && config["Entrypoint"].is_null(),
        "{config}"
    );
}

#[test]
fn rule_80_a_health_check_replaces_the_whole() {
    let first = "HEALTHCHECK --interval=1m --retries=3 CMD a";
    let lowered = lower(&format!("FROM alpine\n{first}\nHEALTHCHECK CMD [\"b\"]\n"));
    assert_eq!(
        lowered.config()["Healthcheck"],
        json!({ "Test": ["CMD", "b"] })
    );
}

#[test]
fn rule_81_triggers_run_once() {
    let lowered = lower("FROM onbuild AS a\nFROM a\n");
    assert_eq!(lowered.runs().len(), 1);
    assert!(lowered.config()["OnBuild"].is_null());
    let own = lower("FROM alpine AS a\nONBUILD RUN x\nFROM a AS b\nFROM b\nRUN y\n");
    assert_eq!(own.commands(), ["x", "y"]);
}

#[test]
fn rule_81_triggers_are_kept_as_written_and_without_history() {
    let lowered = lower("FROM alpine\nONBUILD RUN echo $x\nONBUILD COPY <<E /f\nbody\nE\n");
    let kept = json!(["RUN echo $x", "COPY <<E /f\nbody\nE"]);
    assert_eq!(lowered.config()["OnBuild"], kept);
    assert_eq!(lowered.history().len(), 1, "that of the base");
}

#[test]
fn rule_83_workdir_is_a_layer_unless_it_is_the_root() {
    for (path, empty, directory) in [
        ("/x", false, "/x"),
        ("x", false, "/x"),
        ("/", true, "/"),
        ("/x/", false, "/x/"),
    ] {
        let lowered = lower(&format!("FROM alpine\nWORKDIR {path}\n"));
        let last = &lowered.config_document()["history"][1];
        assert_eq!(last["created_by"], format!("WORKDIR {directory}"), "{path}");
        assert_eq!(
            last["empty_layer"].as_bool().unwrap_or_default(),
            empty,
            "{path}"
        );
        assert_eq!(lowered.config()["WorkingDir"], directory, "{path}");
    }
}

#[test]
fn rule_84_history_texts() {
    for (line, expected) in [
        ("RUN a \\\n  b", "RUN /bin/sh -c a   b # buildkit"),
        ("RUN [\"a\", \"b c\"]", "RUN a b c # buildkit"),
        (
            "COPY --chown=1:2 --chmod=755 a b /c/",
            "COPY --chown=1:2 --chmod=755 a b /c/ # buildkit",
        ),
        ("COPY --parents a /c/", "COPY --parents a /c/ # buildkit"),
        ("COPY <<E /c\nE", "COPY <<E /c # buildkit"),
        ("ADD --link a /c", "ADD a /c # buildkit"),
        ("ENV a=1 b=2", "ENV a=1 b=2"),
        ("ENV a b c", "ENV a=b c"),
        ("LABEL a=\"b c\"", "LABEL a=b c"),
        ("ARG a=1 b", "ARG a=1 b"),
        ("EXPOSE 82 81/udp", "EXPOSE [81/udp 82/tcp]"),
        ("VOLUME /a /b", "VOLUME [/a /b]"),
        ("USER u", "USER u"),
        ("STOPSIGNAL 9", "STOPSIGNAL 9"),
        ("CMD a \"b\"", "CMD [\"/bin/sh\" \"-c\" \"a \\\"b\\\"\"]"),
        ("ENTRYPOINT [\"a\"]", "ENTRYPOINT [\"a\"]"),
        ("SHELL [\"a\", \"-c\"]", "SHELL [a -c]"),
        ("MAINTAINER me too", "MAINTAINER me too"),
        (
            "HEALTHCHECK --interval=1m30s CMD x",
            "HEALTHCHECK {Test:[CMD-SHELL x] Interval:1m30s Timeout:0s StartPeriod:0s \
            StartInterval:0s Retries:0}",
        ),
    ] {
        let lowered = lower(&format!("FROM alpine\n{line}\n"));
        assert_eq!(
            lowered.history().last().map(String::as_str),
            Some(expected),
            "{line}"
        );
    }
}

#[test]
fn rule_84_arguments_in_force_are_in_the_history_of_run() {
    let lowered = lower("FROM alpine\nARG a=1\nARG b\nARG a=2\nENV a=3\nRUN x\n");
    let history = lowered.history();
    assert_eq!(history[5], "RUN |2 a=3 b= /bin/sh -c x # buildkit");
}

#[test]
fn rule_87_a_command_sets_args_escaped() {
    assert_eq!(lower("FROM alpine\nCMD a\n").config()["ArgsEscaped"], true);
    assert!(lower("FROM alpine\nENTRYPOINT a\n").config()["ArgsEscaped"].is_null());
}

#[test]
fn rule_89_an_image_without_layers_is_scratch() {
    let lowered = lower("FROM empty\nCOPY a /a\n");
    assert_eq!(lowered.sources(), ["local://context"]);
}

#[test]
fn rule_90_labels_of_the_command_line_come_last_and_leave_no_history() {
    let lowered = Lowered::new("FROM alpine\nLABEL a=file b=1\n", |options| {
        options.labels.insert("a".into(), "given".into());
    });
    assert_eq!(
        lowered.config()["Labels"],
        json!({ "a": "given", "b": "1" })
    );
    assert_eq!(lowered.history().len(), 2);
}
