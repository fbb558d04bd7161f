//! The host that flows are played on: its places, what has happened to its networks, and how
//! libvirtd and the administrator make that happen.

use std::{
    collections::BTreeMap, fs, io::ErrorKind, net::Ipv4Addr, path::PathBuf, process::Command,
    thread, time::Duration,
};

use virt_forward_policy::{
    config::Config,
    network::{self, Network},
};
use virt_forward_system::paths;

use crate::{
    host::{self, Outcome},
    packets::Mac,
};

const COMMAND: &str = "/usr/sbin/virt-forward";

/// What stands for libvirt's rules: they accept the rest of every connection, and no new one.
const FOREIGN: &str = "table ip filter {
  chain FORWARD {
    type filter hook forward priority filter; policy drop;
    ct state established,related accept
  }
}";

/// How long libvirt takes to start it, between the bridge and the hook `started`; at least.
const DNSMASQ: Duration = Duration::from_millis(20);

/// The outside, as the host has it.
const OUTSIDE_INTERFACE: &str = "out0";
const OUTSIDE_ADDRESS: &str = "192.168.0.40/24";

/// Where frames are sent and received.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Place {
    A,
    B,
    C,
    /// A network with the subnet of `B`: never active together with it.
    Tenant,
    Isolated,
    /// The LAN.
    Outside,
}

impl Place {
    pub(crate) const NETWORKS: [Self; 5] =
        [Self::A, Self::B, Self::C, Self::Tenant, Self::Isolated];
    pub(crate) const ALL: [Self; 6] = [
        Self::A,
        Self::B,
        Self::C,
        Self::Tenant,
        Self::Isolated,
        Self::Outside,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::A => "a",
            Self::B => "b",
            Self::C => "c",
            Self::Tenant => "t",
            Self::Isolated => "iso",
            Self::Outside => "out",
        }
    }

    /// Those of its guests.
    pub(crate) fn addresses(self) -> Vec<Ipv4Addr> {
        match (self, self.subnet()) {
            (_, Some(subnet)) => vec![Ipv4Addr::new(10, 17, subnet, 21)],
            (_, None) => vec![
                Ipv4Addr::new(192, 168, 0, 30),
                Ipv4Addr::new(192, 168, 0, 31),
            ],
        }
    }

    /// The third byte of its network's addresses.
    fn subnet(self) -> Option<u8> {
        match self {
            Self::A => Some(1),
            Self::B | Self::Tenant => Some(2),
            Self::C => Some(3),
            Self::Isolated => Some(9),
            Self::Outside => None,
        }
    }

    fn number(self) -> u8 {
        match self {
            Self::A => 1,
            Self::B => 2,
            Self::C => 3,
            Self::Tenant => 4,
            Self::Isolated => 5,
            Self::Outside => 6,
        }
    }

    /// The network that may not be active at the same time.
    fn rival(self) -> Option<Self> {
        match self {
            Self::B => Some(Self::Tenant),
            Self::Tenant => Some(Self::B),
            _ => None,
        }
    }

    /// That of the bridge, or of the host's interface: where guests send to.
    pub(crate) fn router(self) -> Mac {
        [2, 0, 0, 0, 2, self.number()]
    }

    /// That of the guest that has this address, or else of any.
    pub(crate) fn guest(self, address: Ipv4Addr) -> Mac {
        let known = self.addresses();
        let place = known.iter().position(|one| *one == address);
        let place = place.and_then(|place| u8::try_from(place).ok());
        [2, 0, 0, 1, place.unwrap_or_default(), self.number()]
    }

    /// The end of its cable that guests are played on.
    pub(crate) fn far_end(self) -> String {
        format!("p-{}", self.name())
    }

    /// The end that the host has.
    fn near_end(self) -> String {
        match self {
            Self::Outside => OUTSIDE_INTERFACE.to_owned(),
            _ => format!("v-{}", self.name()),
        }
    }

    /// The bridge that its network has, unless it takes another's.
    fn bridge(self) -> String {
        format!("virbr-{}", self.name())
    }
}

/// What is wrong with a definition, its name and bridge apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The policy in its metadata names no groups.
    Policy,
    /// libvirt does not escape a domain's name.
    IllFormed,
}

/// A network's definition, as far as it varies.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Definition {
    /// The groups that its metadata names.
    pub(crate) groups: Option<Vec<&'static str>>,
    pub(crate) fault: Option<Fault>,
}

/// One thing that happens.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    /// A network starts, again if it is active, with the bridge that the second place has by
    /// default. Whoever is in its way stops before.
    Start(Place, Place, Definition),
    Stop(Place),
    /// Its definition changes.
    Update(Place, Definition),
    /// The administrator writes this config and applies it.
    Config(String),
    /// `virt-forward remove NAME`
    Remove(Place),
    /// `virt-forward remove --all`
    RemoveAll,
    /// Our table is flushed, then `virt-forward apply`.
    Flush,
}

/// An active network.
#[derive(Clone, Debug)]
pub(crate) struct Running {
    /// Without what is wrong with its definition.
    pub(crate) network: Network,
    definition: Definition,
    bridge: Place,
    closed: Option<Closed>,
}

impl Running {
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.is_some() || self.definition.fault.is_some()
    }
}

/// By hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Closed {
    /// An update of the network changes nothing.
    ByName,
    /// With everything known of it, so that nothing says what an update does.
    WithAll,
}

/// What has happened so far.
#[derive(Clone, Debug)]
pub(crate) struct World {
    pub(crate) config: Config,
    networks: BTreeMap<Place, Running>,
}

impl World {
    /// With nothing active.
    pub(crate) fn new(config: &str) -> Outcome<Self> {
        Ok(Self {
            config: read(config)?,
            networks: BTreeMap::new(),
        })
    }

    pub(crate) fn running(&self, place: Place) -> Option<&Running> {
        self.networks.get(&place)
    }

    /// Where a packet to `address` has to arrive.
    pub(crate) fn place_of(&self, address: Ipv4Addr) -> Option<Place> {
        let is_there =
            |place: &Place| *place == Place::Outside || self.networks.contains_key(place);
        let mut places = Place::ALL.into_iter().filter(is_there);
        places.find(|place| place.addresses().contains(&address))
    }

    /// As it is after `event`.
    pub(crate) fn after(&self, event: &Event) -> Outcome<Self> {
        let mut world = self.clone();
        match event {
            Event::Start(place, bridge, definition) => {
                for other in self.in_the_way(*place, *bridge) {
                    world.networks.remove(&other);
                }
                let running = running(*place, *bridge, definition, None)?;
                world.networks.insert(*place, running);
            }
            Event::Stop(place) => {
                world.networks.remove(place);
            }
            Event::Update(place, definition) => {
                if let Some(known) = self.updatable(*place) {
                    let running = running(*place, known.bridge, definition, known.closed)?;
                    world.networks.insert(*place, running);
                }
            }
            Event::Remove(place) => {
                if let Some(known) = world.networks.get_mut(place) {
                    known.closed.get_or_insert(Closed::ByName);
                }
            }
            Event::RemoveAll => world.set_closed(Some(Closed::WithAll)),
            Event::Config(config) => {
                world.config = read(config)?;
                world.set_closed(None);
            }
            Event::Flush => world.set_closed(None),
        }
        Ok(world)
    }

    fn set_closed(&mut self, closed: Option<Closed>) {
        for known in self.networks.values_mut() {
            known.closed = closed;
        }
    }

    /// The network there, where policy says what an update of it does.
    fn updatable(&self, place: Place) -> Option<&Running> {
        let known = self.networks.get(&place);
        known.filter(|known| known.closed != Some(Closed::WithAll))
    }

    /// The active networks that have to stop before this one starts with that bridge.
    fn in_the_way(&self, place: Place, bridge: Place) -> Vec<Place> {
        let active = self.networks.iter();
        let in_the_way = active.filter(|(other, running)| {
            **other == place || place.rival() == Some(**other) || running.bridge == bridge
        });
        in_the_way.map(|(other, _)| *other).collect()
    }

    /// Makes it happen; `self` is as it was before.
    pub(crate) fn play(&self, event: &Event) -> Outcome<()> {
        match event {
            Event::Start(place, bridge, definition) => {
                for other in self.in_the_way(*place, *bridge) {
                    self.stop(other)?;
                }
                start(*place, &xml(*place, *bridge, definition), *bridge)
            }
            Event::Stop(place) => self.stop(*place),
            Event::Update(place, definition) => match self.updatable(*place) {
                Some(known) => {
                    let xml = xml(*place, known.bridge, definition);
                    write_status(*place, &xml)?;
                    call_hook(*place, "updated", &xml)
                }
                None => Ok(()),
            },
            Event::Config(config) => {
                write_config(config)?;
                command(&["apply"])
            }
            Event::Remove(place) => command(&["remove", place.name()]),
            Event::RemoveAll => command(&["remove", "--all"]),
            Event::Flush => {
                let flush = "add table inet virt_forward\ndelete table inet virt_forward\n";
                host::run("nft", &["-f", "-"], flush)?;
                command(&["apply"])
            }
        }
    }

    /// In the order of libvirt's `networkShutdownNetwork`.
    fn stop(&self, place: Place) -> Outcome<()> {
        let Some(known) = self.networks.get(&place) else {
            return Ok(());
        };
        forget(status(place))?;
        let bridge = known.bridge.bridge();
        host::run("ip", &["link", "delete", "dev", &bridge], "")?;
        call_hook(
            place,
            "stopped",
            &xml(place, known.bridge, &known.definition),
        )
    }
}

fn read(config: &str) -> Outcome<Config> {
    Config::read(config, "config.toml".to_owned()).map_err(|why| why.to_string())
}

fn running(
    place: Place,
    bridge: Place,
    definition: &Definition,
    closed: Option<Closed>,
) -> Outcome<Running> {
    let sound = Definition {
        fault: None,
        ..definition.clone()
    };
    let network = network::read(xml(place, bridge, &sound).as_bytes());
    Ok(Running {
        network: network.map_err(|why| why.to_string())?,
        definition: definition.clone(),
        bridge,
        closed,
    })
}

fn xml(place: Place, bridge: Place, definition: &Definition) -> String {
    let (name, bridge) = (place.name(), bridge.bridge());
    let forward = match place {
        Place::Isolated => "",
        _ => "<forward mode='nat'/>",
    };
    let policy = |attribute: String| {
        format!("<metadata><p:policy xmlns:p='urn:virt-forward:1' {attribute}/></metadata>")
    };
    let metadata = match (definition.fault, &definition.groups) {
        (Some(Fault::Policy), _) => policy("group='g0'".to_owned()),
        (_, Some(groups)) => policy(format!("groups='{}'", groups.join(" "))),
        (_, None) => String::new(),
    };
    let domain = match definition.fault {
        Some(Fault::IllFormed) => "<domain name='it's'/>",
        _ => "<domain name='its'/>",
    };
    let subnet = place.subnet().unwrap_or_default();
    format!(
        "<network><name>{name}</name>{metadata}{forward}<bridge name='{bridge}'/>\
         <ip address='10.17.{subnet}.1' netmask='255.255.255.0'/>{domain}</network>"
    )
}

/// In the order of libvirt's `networkStartNetwork`.
fn start(place: Place, xml: &str, bridge: Place) -> Outcome<()> {
    call_hook(place, "start", xml)?;
    let (name, near_end) = (bridge.bridge(), place.near_end());
    let mut batch = format!(
        "link add name {name} address {} type bridge\n\
         addr add 10.17.{}.1/24 dev {name}\n\
         link set dev {near_end} master {name}\n\
         link set dev {name} up\n",
        text(place.router()),
        place.subnet().unwrap_or_default(),
    );
    batch += &neighbours(place, &name);
    host::run("ip", &["-batch", "-"], &batch)?;
    // Guests may send as soon as the bridge is there.
    thread::sleep(DNSMASQ);
    call_hook(place, "started", xml)?;
    write_status(place, xml)
}

fn neighbours(place: Place, interface: &str) -> String {
    let addresses = place.addresses().into_iter();
    let lines = addresses.map(|address| {
        let mac = text(place.guest(address));
        format!("neigh replace {address} lladdr {mac} dev {interface} nud permanent\n")
    });
    lines.collect()
}

fn text(mac: Mac) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}

fn status(place: Place) -> PathBuf {
    PathBuf::from(paths::LIBVIRT_STATUS).join(format!("{}.xml", place.name()))
}

fn write_status(place: Place, xml: &str) -> Outcome<()> {
    let text = format!(
        "<networkstatus>\n  <class_id bitmap='0-2'/>\n  <floor sum='0'/>\n  {xml}\n</networkstatus>\n"
    );
    let path = status(place);
    let new = path.with_extension("xml.new");
    let written = fs::create_dir_all(paths::LIBVIRT_STATUS)
        .and_then(|()| fs::write(&new, text))
        .and_then(|()| fs::rename(&new, &path));
    written.map_err(|why| format!("{}: {why}", path.display()))
}

fn forget(path: PathBuf) -> Outcome<()> {
    match fs::remove_file(&path) {
        Err(why) if why.kind() != ErrorKind::NotFound => Err(format!("{}: {why}", path.display())),
        _ => Ok(()),
    }
}

fn call_hook(place: Place, operation: &str, xml: &str) -> Outcome<()> {
    let hook = host::hook_with(place.name(), operation, xml)?;
    let output = hook.wait_with_output().map_err(|why| why.to_string())?;
    match output.status.success() {
        true => Ok(()),
        false => Err(format!(
            "the hook, for {operation} of {}: {} {}",
            place.name(),
            output.status,
            String::from_utf8_lossy(&output.stderr)
        )),
    }
}

/// What it says of the config, and how it ends with it, is tested elsewhere.
fn command(args: &[&str]) -> Outcome<()> {
    let output = Command::new(COMMAND).args(args).output();
    output.map(drop).map_err(|why| format!("{COMMAND}: {why}"))
}

fn write_config(text: &str) -> Outcome<()> {
    let path = PathBuf::from(paths::CONFIG);
    let made = path.parent().map_or(Ok(()), fs::create_dir_all);
    made.and_then(|()| fs::write(&path, text))
        .map_err(|why| format!("{}: {why}", path.display()))
}

/// Makes the cables, and the outside; for all cases.
pub(crate) fn lay_cables() -> Outcome<()> {
    for (setting, value) in [
        ("net/ipv6/conf/default/disable_ipv6", "1"),
        ("net/ipv4/ip_forward", "1"),
        // Our table alone has to tell a forged source.
        ("net/ipv4/conf/all/rp_filter", "0"),
        ("net/ipv4/conf/default/rp_filter", "0"),
    ] {
        let path = PathBuf::from(paths::SYSCTLS).join(setting);
        fs::write(&path, value).map_err(|why| format!("{}: {why}", path.display()))?;
    }
    let mut batch = String::new();
    for place in Place::ALL {
        let (near, far) = (place.near_end(), place.far_end());
        batch += &format!(
            "link add name {near} type veth peer name {far}\n\
             link set dev {far} arp off up\n\
             link set dev {near} up\n"
        );
    }
    batch += &format!(
        "link set dev {OUTSIDE_INTERFACE} address {}\n\
         addr add {OUTSIDE_ADDRESS} dev {OUTSIDE_INTERFACE}\n",
        text(Place::Outside.router())
    );
    batch += &neighbours(Place::Outside, OUTSIDE_INTERFACE);
    host::run("ip", &["-batch", "-"], &batch).map(drop)
}

/// As it was before any case, but for the config and what stands for libvirt's rules.
pub(crate) fn begin(config: &str) -> Outcome<()> {
    let mut batch = String::new();
    for place in Place::NETWORKS {
        forget(status(place))?;
        let bridge = place.bridge();
        if PathBuf::from(paths::INTERFACES).join(&bridge).exists() {
            batch += &format!("link delete dev {bridge}\n");
        }
    }
    host::run("ip", &["-batch", "-"], &batch)?;
    match fs::remove_dir_all(paths::STATE) {
        Err(why) if why.kind() != ErrorKind::NotFound => return Err(why.to_string()),
        _ => {}
    }
    let ruleset = format!("flush ruleset\n{FOREIGN}");
    host::run("nft", &["-f", "-"], &ruleset)?;
    host::run("conntrack", &["-F"], "")?;
    write_config(config)
}
