//! `config.vm.synced_folder`.

use indexmap::IndexMap;
use toml::Spanned;

use super::apply::{Applying, Several, word_of};
use super::ruby::{At, Value};
use super::section::Setting;
use crate::config::check;
use crate::config::layer::Layer;
use crate::config::read::Complaint;
use crate::config::resolve::DEFAULT_FOLDER;
use crate::config::sections::Folder;
use crate::config::spec::{FolderType, SyncedFolder};

/// Options that say how another kind of folder is mounted.
const HARMLESS: &[(&str, &str)] = &[
    ("nfs_udp", "NFS is not used"),
    ("nfs_version", "NFS is not used"),
    ("nfs_export", "NFS is not used"),
    ("linux__nfs_options", "NFS is not used"),
    ("bsd__nfs_options", "NFS is not used"),
    ("map_uid", "NFS is not used"),
    ("map_gid", "NFS is not used"),
    ("automount", "VirtualBox's shared folders are not used"),
    ("SharedFoldersEnableSymlinksCreate", "VirtualBox's shared folders are not used"),
    ("transient", "VirtualBox's shared folders are not used"),
    ("extra", "VirtualBox's shared folders are not used"),
    ("rsync__verbose", "it changes only what is shown"),
    ("smb_host", "SMB is not used"),
    ("smb_username", "SMB is not used"),
    ("smb_password", "SMB is not used"),
    ("sshfs_opts_append", "sshfs is not used"),
];

impl Applying<'_> {
    /// Gathers one call; a later one for the same place adds to it.
    pub(super) fn synced_folder(&mut self, setting: &Setting) {
        let guest = setting.args.get(1).and_then(word_of).unwrap_or_default();
        let guest = guest.strip_suffix('/').filter(|rest| !rest.is_empty()).unwrap_or(&guest).to_owned();
        self.gather_folder(setting.value(), &guest, setting, Self::options(setting).into_iter().collect());
    }

    /// The first version's `config.vm.share_folder "name", "/in/the/guest", "on/the/host"`.
    pub(super) fn share_folder(&mut self, setting: &Setting) {
        let guest = setting.args.get(1).and_then(word_of).unwrap_or_default();
        let host = setting.args.get(2).cloned().unwrap_or(Value::Nil);
        self.gather_folder(host, &guest, setting, Self::options(setting).into_iter().collect());
    }

    fn gather_folder(
        &mut self,
        host: Value,
        guest: &str,
        setting: &Setting,
        mut options: IndexMap<std::rc::Rc<str>, Value>,
    ) {
        let name = options.shift_remove("name").and_then(|name| word_of(&name));
        options.insert("guest".into(), Value::str(guest));
        // A folder that is written once more is there again.
        options.entry("disabled".into()).or_insert(Value::Bool(false));
        let at = setting.at;
        let several = self.gathered.folders.entry(name.unwrap_or_else(|| guest.to_owned()));
        let several = several.or_insert_with(|| Several { what: Value::Nil, options: IndexMap::new(), at, level: 0 });
        several.at = at;
        several.what = host;
        several.options.extend(options);
    }

    /// All of them, when every level has spoken.
    pub(super) fn folders(&mut self, layer: &mut Layer, gathered: &IndexMap<String, Several>) {
        let shares_root = gathered.values().any(|folder| folder.what.text().as_deref() == Some("."));
        for folder in gathered.values() {
            self.folder(layer, folder);
        }
        // Vagrant leaves its own folder away where the file shares `.` somewhere else.
        if shares_root && !layer.folders.iter().any(|folder| folder.spec.guest == DEFAULT_FOLDER) {
            let spec = self.plain_folder(DEFAULT_FOLDER.into());
            layer.folders.push(Folder { spec, disabled: true, span: 0..0 });
        }
    }

    /// `functional_vboxsf = false`: without VirtualBox's shared folders, all that say nothing else are copied.
    pub(super) fn copy_folders(&self, layer: &mut Layer) {
        if !layer.folders.iter().any(|folder| folder.spec.guest == DEFAULT_FOLDER) {
            let spec = self.plain_folder(DEFAULT_FOLDER.into());
            layer.folders.push(Folder { spec, disabled: false, span: 0..0 });
        }
        for folder in &mut layer.folders {
            folder.spec.kind.get_or_insert(FolderType::Rsync);
        }
    }

    fn plain_folder(&self, guest: String) -> SyncedFolder {
        SyncedFolder {
            host: self.paths.root.to_owned(),
            guest,
            kind: None,
            create: false,
            owner: None,
            group: None,
            exclude: Vec::new(),
            args: None,
        }
    }

    fn folder(&mut self, layer: &mut Layer, gathered: &Several) {
        let at = gathered.at;
        let disabled = gathered.options.get("disabled").is_some_and(Value::truthy);
        let mut spec = self.plain_folder(String::new());
        for (key, value) in gathered.options.iter().filter(|(_, value)| !value.is_nil()) {
            match &**key {
                "create" => spec.create = value.truthy(),
                "owner" => spec.owner = self.text(at, "owner", value),
                "group" => spec.group = self.text(at, "group", value),
                "type" if disabled => {}
                "type" => self.folder_type(at, value, &mut spec.kind),
                "nfs" if value.truthy() => spec.kind = Some(FolderType::Nfs),
                "nfs" | "id" | "guest" | "disabled" | "hostpath" | "guestpath" => {}
                "rsync__exclude" => spec.exclude = self.texts(at, "rsync__exclude", value),
                "rsync__args" => spec.args = Some(self.texts(at, "rsync__args", value)),
                other if disabled => {
                    self.left_out(at, &format!("`{other}` of a synced folder"), "the folder is disabled", false);
                }
                other => match HARMLESS.iter().find(|(name, _)| *name == other) {
                    Some((_, why)) => self.left_out(at, &format!("`{other}` of a synced folder"), why, false),
                    None => self.left_out(at, &format!("`{other}` of a synced folder"), "not supported yet", true),
                },
            }
        }
        let guest = gathered.options.get("guest").cloned().unwrap_or(Value::Nil);
        let Some(place) = self.checked(at, "synced_folder", &guest, check::guest_folder) else { return };
        spec.guest = place;
        let paths = self.paths;
        if gathered.what.is_nil() && !disabled {
            let message = format!("no folder of this computer is named for `{}`", spec.guest);
            let complaint = Complaint::from("options stand where the folder is expected, or nothing does");
            return self.error(at, message, complaint.help("`\".\"` is the folder of the machine file"));
        }
        match self.checked(at, "synced_folder", &gathered.what, |text| paths.resolve(text)) {
            Some(host) => spec.host = host,
            None if !disabled => return,
            None => {}
        }
        if !disabled && !spec.create {
            self.paths.expect("folder", &Spanned::new(Self::span(at), spec.host.clone()));
        }
        layer.folders.push(Folder { spec, disabled, span: Self::span(at) });
    }

    fn folder_type(&mut self, at: At, value: &Value, kind: &mut Option<FolderType>) {
        match value.text().as_deref() {
            None | Some("") => *kind = None,
            Some("rsync") => *kind = Some(FolderType::Rsync),
            Some("nfs") => *kind = Some(FolderType::Nfs),
            Some("smb") => *kind = Some(FolderType::Smb),
            Some("virtualbox") => *kind = Some(FolderType::Virtualbox),
            Some("virtiofs") => *kind = Some(FolderType::Virtiofs),
            Some("9p") => *kind = Some(FolderType::NineP),
            Some(other) => {
                self.left_out(at, &format!("the type `{other}` of a synced folder"), "the default is used", true);
            }
        }
    }
}
