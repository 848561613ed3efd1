//! What Vagrant's plugins do, and whether it is done here without them.

use super::apply::Applying;
use super::ruby::Value;
use super::section::Setting;
use crate::config::layer::Layer;
use crate::config::size;

/// What becomes of a plugin's settings.
#[derive(Clone, Copy)]
enum Job {
    /// We do it.
    Done,
    /// There is nothing to do here, and why.
    Needless(&'static str),
    /// Nobody does it, and what is missing then.
    Missing(&'static str),
    /// Nobody does it; the machines come out the same.
    Slower(&'static str),
}

use Job::{Done, Missing, Needless, Slower};

/// Its name, its sections of `config`, its job.
type Plugin = (&'static str, &'static [&'static str], Job);

const GUEST_ADDITIONS: &str = "no guest additions are needed";
const NAMES: &str = "nobody writes the machines' names to /etc/hosts";
const CHEF: &str = "Chef is not supported yet";
pub(super) const WINDOWS: &str = "Windows guests are not supported yet";

/// All that are known.
const PLUGINS: &[Plugin] = &[
    ("vagrant-disksize", &["disksize"], Done),
    ("vagrant-env", &["env"], Done),
    ("vagrant-reload", &[], Done),
    ("vagrant-triggers", &[], Done),
    ("vagrant-libvirt", &["libvirt"], Needless("it belongs into a provider's block")),
    ("vagrant-qemu", &["qemu"], Needless("it belongs into a provider's block")),
    ("vagrant-vbguest", &["vbguest"], Needless(GUEST_ADDITIONS)),
    ("vagrant-cachier", &["cache"], Slower("packages are not cached for the guests")),
    ("vagrant-hostmanager", &["hostmanager"], Missing(NAMES)),
    ("vagrant-hostsupdater", &["hostsupdater"], Missing(NAMES)),
    ("vagrant-goodhosts", &["goodhosts"], Missing(NAMES)),
    ("vagrant-hosts", &["hosts"], Missing(NAMES)),
    ("landrush", &["landrush"], Missing("no name server is started for the machines")),
    (
        "vagrant-proxyconf",
        &["proxy", "apt_proxy", "yum_proxy", "git_proxy", "npm_proxy", "svn_proxy", "pear_proxy", "docker_proxy"],
        Missing("the guest is told of no proxy"),
    ),
    ("vagrant-timezone", &["timezone"], Missing("the guest's time zone stays")),
    ("vagrant-registration", &["registration"], Missing("the guest is not registered with its vendor")),
    ("vagrant-bindfs", &["bindfs", "nfs_bindfs"], Missing("bindfs is not used")),
    (
        "vagrant-persistent-storage",
        &["persistent_storage"],
        Missing("no disk outlives its machine; `config.vm.disk` makes one that goes with it"),
    ),
    ("vagrant-omnibus", &["omnibus"], Missing(CHEF)),
    ("vagrant-berkshelf", &["berkshelf"], Missing(CHEF)),
    ("vagrant-librarian-chef", &["librarian_chef"], Missing(CHEF)),
    ("vagrant-puppet-install", &["puppet_install"], Missing("Puppet is not supported yet")),
    ("vagrant-pe_build", &["pe_build"], Missing("Puppet is not supported yet")),
    ("vagrant-gatling-rsync", &["gatling"], Missing("changed files are copied by `vbox-rs rsync`")),
    ("vagrant-notify-forwarder", &["notify_forwarder"], Missing("events of files are not passed on to the guest")),
    ("vagrant-ignition", &["ignition"], Missing("Ignition is not supported yet")),
    ("vagrant-winnfsd", &["winnfsd"], Needless("it is for Windows hosts")),
    ("vagrant-nfs4j", &["nfs4j"], Needless("it is for Windows hosts")),
    ("", &["nfs"], Needless("nothing of the host's NFS server is touched")),
    ("", &["package"], Needless("`vbox-rs package` has its own options")),
    ("", &["push"], Needless("`vagrant push` is another tool's work")),
    ("", &["winrm", "winssh", "windows"], Missing(WINDOWS)),
];

/// Plugins that seem to be there.
pub fn there() -> impl Iterator<Item = &'static str> {
    PLUGINS.iter().map(|(name, _, _)| *name).filter(|name| is_there(name))
}

/// What `Vagrant.has_plugin?` answers.
pub fn is_there(name: &str) -> bool {
    !name.is_empty() && PLUGINS.iter().any(|(plugin, _, job)| *plugin == name && matches!(job, Done | Needless(_)))
}

/// Why nothing is done for a plugin that a file names, and whether that changes the result.
pub fn why_not(name: &str) -> Option<(&'static str, bool)> {
    match PLUGINS.iter().find(|(plugin, _, _)| *plugin == name).map(|(_, _, job)| *job) {
        Some(Done) => None,
        Some(Needless(why) | Slower(why)) => Some((why, false)),
        Some(Missing(why)) => Some((why, true)),
        None => Some(("plugins of Vagrant do not run here", true)),
    }
}

impl Applying<'_> {
    /// A setting of `config.NAME`, where that is neither `vm` nor `ssh`.
    pub(super) fn plugin(&mut self, layer: &mut Layer, section: &str, setting: &Setting) {
        let at = setting.at;
        match section {
            "trigger" => return self.trigger(layer, setting),
            "vagrant" => return self.of_vagrant(setting),
            "disksize" if &*setting.name == "size" => {
                let Some(text) = self.text(at, "config.disksize.size", &setting.value()) else { return };
                match size::parse(&text) {
                    Ok(mib) => layer.disk = Some(mib * size::MIB),
                    Err(wrong) => self.error(at, format!("`config.disksize.size` cannot be `{text}`"), wrong.into()),
                }
                return;
            }
            _ => {}
        }
        match PLUGINS.iter().find(|(_, sections, _)| sections.contains(&section)).map(|(_, _, job)| *job) {
            Some(Done) => {}
            Some(Needless(why) | Slower(why)) => self.left_out(at, &format!("`config.{section}`"), why, false),
            Some(Missing(why)) => self.left_out(at, &format!("`config.{section}`"), why, true),
            None => {
                self.left_out(at, &format!("`config.{section}`"), "a plugin of Vagrant that does not run here", true);
            }
        }
    }

    /// `config.vagrant`: how Vagrant itself works.
    fn of_vagrant(&mut self, setting: &Setting) {
        let at = setting.at;
        match &*setting.name {
            "plugins" => {
                let names: Vec<_> = match &setting.value() {
                    Value::Hash(hash) => hash.pairs().into_iter().filter_map(|(name, _)| name.text()).collect(),
                    other => flat(other).iter().filter_map(Value::text).collect(),
                };
                // A hash at the end of a call is its options.
                let keys = Self::options(setting).into_iter().map(|(name, _)| name);
                for name in names.into_iter().chain(keys) {
                    if let Some((why, changes)) = why_not(&name) {
                        self.left_out(at, &format!("the plugin `{name}`"), why, changes);
                    }
                }
            }
            "sensitive" => {
                self.left_out(at, "`config.vagrant.sensitive`", "what provisioners print is not changed", true);
            }
            name => self.left_out(at, &format!("`config.vagrant.{name}`"), "it is about Vagrant itself", false),
        }
    }
}

/// Elements of a list, lists in it included, that are looked at: one may hold itself.
const MOST_ELEMENTS: usize = 10_000;

/// A list's elements, or the value itself.
pub(super) fn flat(value: &Value) -> Vec<Value> {
    let mut found = Vec::new();
    let mut waiting = vec![value.clone()];
    for _ in 0..MOST_ELEMENTS {
        match waiting.pop() {
            None => break,
            Some(Value::Nil) => {}
            Some(Value::Array(array)) => {
                waiting.extend(array.items.borrow().iter().take(MOST_ELEMENTS).rev().cloned());
            }
            Some(other) => found.push(other),
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plugins_whose_job_is_done_or_needless_seem_to_be_there() {
        for (name, there) in [
            ("vagrant-disksize", true),
            ("vagrant-reload", true),
            ("vagrant-env", true),
            ("vagrant-vbguest", true),
            ("vagrant-libvirt", true),
            ("vagrant-hostmanager", false),
            ("vagrant-unheard-of", false),
            ("", false),
        ] {
            assert_eq!(is_there(name), there, "{name}");
        }
    }
}
