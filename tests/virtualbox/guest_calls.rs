//! Calls that the machine file wants made once its guest lets us in, which takes such a machine most of a minute.

use crate::customize::{in_ruby, made, write};
use crate::guest::with_tiny;

#[test]
fn they_are_made_once_after_each_start() {
    let Some(lab) = with_tiny() else { return };
    let text = in_ruby(
        "    vb.memory = 128\n    vb.customize 'post-comm', ['setextradata', :id, 'said', 'late']\n    vb.customize 'post-comm', \
         ['sharedfolder', 'add', :id, '--name', 'extra', '--hostpath', '/tmp', '--transient']",
    );
    let text = text
        .replace("'empty'", "'tiny'\n  config.ssh.insert_key = false")
        .replace("boot_timeout = 1", "boot_timeout = 300");
    let shell = "  config.vm.provision 'shell', inline: 'echo provisioned', run: 'always'\n";
    let text = text.replace("  config.vm.provider", &format!("{shell}  config.vm.provider"));
    write(&lab, &text);
    let words = ["startvm", "said late", "sharedfolder"];
    lab.calls();
    lab.behave("case \"$*\" in sharedfolder*) \"$REAL\" \"$@\"; kill -9 $PPID; exit 1;; esac");
    let ran = lab.run(&["up", "--provider", "virtualbox"]);
    assert!(ran.code == -1 && !ran.stdout.contains("provisioned"), "it was killed: {}", ran.stderr);
    assert_eq!(made(&lab, &words), words);
    lab.behave("");
    lab.run(&["up"]).ok().says(&["provisioned"]);
    assert_eq!(made(&lab, &words), ["sharedfolder"]);
    lab.run(&["up"]).ok();
    assert_eq!(made(&lab, &words), [""; 0], "it runs");
    lab.run(&["suspend"]).ok();
    lab.run(&["resume"]).ok();
    assert_eq!(made(&lab, &words), ["startvm"], "it goes on");
    lab.run(&["reload"]).ok();
    assert_eq!(made(&lab, &words), words);
    lab.destroy();
}
