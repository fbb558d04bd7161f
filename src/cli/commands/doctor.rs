//! `doctor`: looks at everything, and says what is wrong.

use std::time::{Duration, SystemTime};

use anyhow::Result;
use virt_forward_policy::{
    config::{Config, MarkBit},
    netfilter::Engine,
};
use virt_forward_reconcile::{self as reconcile, Error, Inspection};
use virt_forward_ruleset::sysctls::Seen;
use virt_forward_system::{
    exec::{hook_trial, iptables as programs, rule_dump},
    links as interfaces,
    netlink::nft_rules::{self, Scope},
    paths,
    state::Store,
    sysctl::Kernel,
};

use super::{config, deadline, store};
use crate::{
    args::Args,
    doctor::{
        Finding, Report, Root, Scene, bridges, config as file,
        confinement::{Asked, Confinement},
        daemon::Daemon,
        firewalls, forwarding,
        hook::Hooks,
        iptables::{self, Iptables, Tables},
        libvirt::Libvirt,
        marks::{self, Routing, Rules},
        networks as bridges_of, own, subnets, watch,
    },
    exit::Exit,
    hooks,
    host::Host,
    libvirt,
    networks::Networks,
    output,
    paint::Screen,
    settings,
};

/// How often, and for how long, a run that is under way is waited for.
const WAITS: usize = 20;
const WAIT: Duration = Duration::from_millis(100);
/// How often all is looked at again that another run changes meanwhile.
const TRIES: usize = 3;

/// Looks, and prints what was found.
pub(crate) fn doctor(args: &Args, json: bool) -> Result<Exit> {
    let report = Report::new(Patient::new(args)?.findings());
    let screen = Screen::of_stdout(args.color);
    let text = match json {
        true => output::json(&report)?,
        false => report.for_people(&screen),
    };
    output::print_painted(&text, &screen)?;
    match report.is_all_right() {
        true => Ok(Exit::Done),
        false => Ok(Exit::Differs),
    }
}

/// What is known before anything is judged.
struct Patient<'a> {
    args: &'a Args,
    root: Root,
    now: SystemTime,
    config: Result<Config, Error>,
    networks: Networks,
    silence: Option<anyhow::Error>,
    host: Host,
}

impl<'a> Patient<'a> {
    fn new(args: &'a Args) -> Result<Self> {
        let config = match config(args) {
            Ok(config) => Ok(config),
            Err(why) => Err(why.downcast::<Error>()?),
        };
        let (networks, silence) = Networks::find_or_tell(args.connect.as_deref());
        Ok(Self {
            args,
            root: Root::host(),
            now: SystemTime::now(),
            config,
            networks,
            silence,
            host: Host::ask()?,
        })
    }

    /// What a run that was under way has changed meanwhile is looked at again.
    fn findings(&self) -> Vec<Finding> {
        let store = store();
        wait_for_others(&store);
        let mut found = Vec::new();
        for _ in 0..TRIES {
            let before = (store.is_pending(), store.table_fingerprint());
            found = self.look();
            if (store.is_pending(), store.table_fingerprint()) == before {
                break;
            }
        }
        found
    }

    fn look(&self) -> Vec<Finding> {
        let closed = Config::closed();
        let config = self.config.as_ref().unwrap_or(&closed);
        let inspected = reconcile::inspect(config, self.networks.as_active(), deadline());
        let seen = nft_rules::chains(Scope::All, deadline()).map_err(Error::from);
        let mut found = self.config(config, inspected.as_ref().ok());
        found.extend(self.programs_around(inspected.as_ref().ok()));
        match (&inspected, &seen) {
            (Ok(inspection), Ok((chains, _))) => {
                let scene = Scene {
                    config,
                    is_config_right: self.config.is_ok(),
                    inspection,
                    chains,
                    networks: &self.networks,
                    host: &self.host,
                    settings: &settings::Kernel,
                };
                found.extend(self.of_scene(&scene));
            }
            (Err(why), _) | (_, Err(why)) => found.push(not_looked_at(why)),
        }
        let is_over = |name: &str| {
            let mut active = self.networks.active.iter();
            !active.any(|network| network.name == name)
        };
        found.extend(own::Known::look(&store(), interfaces::has, is_over).findings());
        found.extend(mark(self.mark()));
        found
    }

    /// The bit that is in use; under a wrong config that of the table.
    fn mark(&self) -> MarkBit {
        match &self.config {
            Ok(config) => config.mark,
            Err(_) => {
                let built = store().layout();
                built
                    .and_then(|built| built.mark())
                    .unwrap_or(MarkBit::DEFAULT)
            }
        }
    }

    fn config(&self, config: &Config, inspection: Option<&Inspection>) -> Vec<Finding> {
        let path = &self.args.config;
        let mut found: Vec<_> = file::owner(&self.root, path).into_iter().collect();
        match &self.config {
            Err(why) => found.push(file::wrong(why, path)),
            Ok(_) => {
                let unknown = reconcile::unresolved_names(config, |name| self.networks.has(name));
                let misfits = inspection.map_or(&[][..], |one| &one.wanted.misfits[..]);
                found.extend(file::findings(config, misfits, &self.networks, path));
                found.extend(file::nothing(config));
                found.extend(file::findings(
                    &Config::closed(),
                    &unknown,
                    &self.networks,
                    path,
                ));
            }
        }
        file::or_right(found, &self.root, path)
    }

    /// libvirt, its daemon, the hook, and what keeps the one from running the other.
    fn programs_around(&self, inspection: Option<&Inspection>) -> Vec<Finding> {
        let hooks_since = hooks::had_since(&self.root.path(paths::HOOKS));
        let daemon = Daemon::look(&self.root, hooks_since, self.now);
        let version = match &self.silence {
            Some(why) => Err(format!("{why:#}")),
            None => {
                libvirt::version(self.args.connect.as_deref()).map_err(|why| format!("{why:#}"))
            }
        };
        let known = version.as_ref().ok().copied();
        let sites = inspection.map_or(&[][..], |one| &one.wanted.survey.sites[..]);
        let libvirt = Libvirt {
            version,
            sites,
            remedy: daemon.unanswered(),
        };
        let mut found = vec![libvirt.finding()];
        found.extend(inspection.and_then(|one| firewalls::flushed(one, &daemon.set_anew())));
        found.extend(daemon.findings());
        let mut all = Hooks::look(&self.root);
        for one in all.tryable() {
            let path = self.root.path(&one.file.path);
            one.fault = hook_trial::attempt(&path, deadline())
                .err()
                .map(|why| why.to_string());
        }
        found.extend(all.findings(known, daemon.name()));
        let asked: Vec<_> = all
            .ours
            .iter()
            .map(|hook| Asked {
                hook,
                label: label(&self.root, &hook.file.path),
            })
            .collect();
        let pid = daemon.process.as_ref().map(|process| process.pid);
        found.extend(Confinement::look(&self.root, pid).findings(&asked));
        found.push(watch::finding(&self.root.processes(watch::NAME, self.now)));
        found
    }

    fn of_scene(&self, scene: &Scene) -> Vec<Finding> {
        let autoconfigured = Kernel.autoconfigured().unwrap_or_default();
        [
            bridges_of::findings(scene),
            subnets::findings(scene),
            forwarding::routes(scene),
            forwarding::settings(scene, &self.root, &autoconfigured),
            vec![own::table(scene)],
            firewalls::findings(scene),
            self.iptables(scene),
            bridges::findings(scene, &self.root),
        ]
        .concat()
    }

    fn iptables(&self, scene: &Scene) -> Vec<Finding> {
        let saves = match rule_dump::of_iptables(deadline()) {
            Ok(saves) => saves,
            Err(why) => return vec![not_looked_at(&why.into())],
        };
        let chains = scene.inspection.wanted.survey.sites.iter();
        let chains = chains
            .filter_map(|site| site.spot.as_ref())
            .map(|spot| &spot.chain);
        let unwritable =
            chains.filter(|chain| chain.is_of_iptables() && !programs::is_there_one_for(chain));
        Iptables {
            kind: iptables::kind(&self.root),
            nft: Tables::of(&saves, Engine::Nft),
            legacy: Tables::of(&saves, Engine::Legacy),
            unwritable: unwritable.map(ToString::to_string).collect(),
        }
        .findings()
    }
}

/// A run that is under way would look like one that was cut short.
fn wait_for_others(store: &Store) {
    for _ in 0..WAITS {
        if !store.is_pending() {
            break;
        }
        std::thread::sleep(WAIT);
    }
}

fn not_looked_at(why: &Error) -> Finding {
    let finding = Finding::wrong("rules", format!("could not be looked at: {why}"));
    match why {
        Error::System(virt_forward_system::Error::NoProgram { package, .. }) => finding.with(
            format!("apt-get install {package}   # or your distribution's own way"),
        ),
        _ => finding,
    }
}

/// SELinux's label of a file.
fn label(root: &Root, path: &str) -> Option<String> {
    let mut buffer = [0; 256];
    let length = rustix::fs::getxattr(root.path(path), "security.selinux", &mut buffer[..]).ok()?;
    let text = String::from_utf8_lossy(buffer.get(..length)?).into_owned();
    Some(text.trim_end_matches('\0').to_owned())
}

fn mark(mark: MarkBit) -> Vec<Finding> {
    match read_marks() {
        Ok((rules, routing)) => marks::findings(mark, &rules, &routing),
        Err(why) => vec![Finding::note(
            "mark",
            format!("who else uses it could not be looked at: {why:#}"),
        )],
    }
}

fn read_marks() -> Result<(Rules, Vec<Routing>)> {
    let saves = rule_dump::of_iptables(deadline())?;
    let found = Rules::listed(&rule_dump::of_nft(deadline())?, &saves)?;
    let routing = Host::marked_rules()?.into_iter();
    let routing = routing.map(|(priority, value, mask)| Routing {
        priority,
        value,
        mask,
    });
    Ok((found, routing.collect()))
}
