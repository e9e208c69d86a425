//! Completions, as far as a shell is here to try them.

use std::process::Command;

use crate::support::settle::Settle;

fn script(shell: &str) -> String {
    let nobody = "127.0.0.1:1".parse().unwrap();
    String::from_utf8(Settle::at(nobody, nobody).ok(&["completions", shell])).unwrap()
}

#[test]
fn every_shell_gets_commands_and_options() {
    for shell in ["bash", "zsh", "fish", "powershell"] {
        let script = script(shell);
        for word in ["status", "members", "context-file"] {
            assert!(script.contains(word), "{shell}: no {word}");
        }
    }
    let nobody = "127.0.0.1:1".parse().unwrap();
    Settle::at(nobody, nobody).run(&["completions", "tcsh"]).fails(2, &["bash", "zsh", "fish", "powershell"]);
}

#[test]
fn bash_completes() {
    let complete = |words: &str, current: &str, previous: &str| {
        let count = words.split(' ').count() - 1;
        let ask = format!(
            "COMP_WORDS=({words}); COMP_CWORD={count}; _settle settle {current} {previous}; echo ${{COMPREPLY[@]}}"
        );
        let output = Command::new("bash").args(["-c", &(script("bash") + "\n" + &ask)]).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    assert_eq!(complete("settle mem", "mem", "settle"), "members");
    assert_eq!(complete("settle get k --context", "--context", "k"), "--context-file");
    assert_eq!(complete("settle get k --level each", "each", "--level"), "each_quorum");
}
