//! `<network>` as libvirt writes it, read in one pass.
//!
//! The element is looked for by name, as root or as a child of the root: libvirt wraps it
//! in `<hookData>` (src/network/bridge_driver.c, `networkRunHook`), puts other children
//! before it in old versions, and in `<networkstatus>` in its status files. What is not
//! needed is skipped, whatever it is; `<metadata>` may hold anything, even a `<network>`. One
//! child of that is ours, in a namespace of its own (libvirt 9.0 keeps it, and later ones):
//!
//! ```xml
//! <metadata><vf:policy xmlns:vf="urn:virt-forward:1" groups="kube"/></metadata>
//! ```
//!
//! Name and bridge matter most. A network with both is known, whatever is wrong with the rest: it
//! carries the fault ([`Network::fault`]) and stays closed. If it were left out, its bridge would
//! count as external, and its guests could pass for peers.

use std::{
    io::{BufRead, BufReader, Read},
    net::{IpAddr, Ipv4Addr},
};

use ipnet::IpNet;
use quick_xml::{
    NsReader, XmlVersion,
    events::{BytesRef, BytesStart, Event},
    name::{Namespace, ResolveResult},
};

use super::{
    bridge::BridgeName,
    format::{Element, MAX_XML, MOST_GROUPS, NAMESPACE},
    mode::Mode,
    model::Network,
    xml_error::{PolicyFault, XmlError},
};

/// Reads the one network that `source` describes, to its end.
///
/// # Errors
///
/// Only where name or bridge are not known; any other fault is part of the network.
pub fn read(source: impl Read) -> Result<Network, XmlError> {
    read_limited(source, MAX_XML)
}

/// Reads a document of at most `limit` bytes.
fn read_limited(source: impl Read, limit: u64) -> Result<Network, XmlError> {
    // One byte more than allowed distinguishes a document of exactly the limit from a longer one.
    let limited = BufReader::new(source.take(limit + 1));
    let mut reader = NsReader::from_reader(limited);
    reader.config_mut().expand_empty_elements = true;
    let mut walk = Walk::default();
    let mut end = walk.through(&mut reader);
    if reader.buffer_position() > limit {
        end = Err(XmlError::TooBig);
    }
    match (walk.found, end) {
        (Some(draft), Ok(())) => draft.finish(),
        (Some(draft), Err(why)) => draft.cut_short(why),
        (None, Ok(())) => Err(XmlError::NoNetwork),
        (None, Err(why)) => Err(why),
    }
}

/// The position in the document.
#[derive(Default)]
struct Walk {
    depth: usize,
    /// The depth of the enclosing `<network>`.
    network: Option<usize>,
    /// The enclosing child of `<network>`.
    child: String,
    found: Option<Draft>,
}

impl Walk {
    fn through<R: BufRead>(&mut self, reader: &mut NsReader<R>) -> Result<(), XmlError> {
        let mut buffer = Vec::new();
        loop {
            let event = reader.read_event_into(&mut buffer);
            match event.map_err(|why| ill_formed(reader.error_position(), &why))? {
                Event::Start(element) => {
                    let (namespace, _) = reader.resolver().resolve_element(element.name());
                    let is_ours = namespace == ResolveResult::Bound(Namespace(NAMESPACE));
                    self.start(&element, is_ours, reader.buffer_position())?;
                }
                Event::End(_) => self.end(),
                Event::Text(text) => self.text(&text.xml10_content()),
                Event::CData(text) => self.text(&text.xml10_content()),
                Event::GeneralRef(reference) => {
                    let c = character(&reference)
                        .map_err(|why| ill_formed(reader.buffer_position(), &why))?;
                    self.text(c.encode_utf8(&mut [0; 4]));
                }
                Event::Eof if self.depth > 0 => return Err(XmlError::Truncated),
                Event::Eof => return Ok(()),
                _ => {}
            }
            buffer.clear();
        }
    }

    /// Handles the start of an element; `is_ours` is set where it is in our namespace.
    fn start(&mut self, element: &BytesStart, is_ours: bool, at: u64) -> Result<(), XmlError> {
        self.depth += 1;
        let name = element.name();
        let name: &str = name.as_ref();
        let attributes = Attributes { element, at };
        match (self.network, &mut self.found) {
            (None, Some(_)) if name == "network" && self.depth <= 2 => {
                return Err(XmlError::TwoNetworks);
            }
            (None, None) if name == "network" && self.depth <= 2 => {
                self.network = Some(self.depth);
                self.found = Some(Draft::default());
            }
            (Some(network), Some(draft)) => match self.depth - network {
                1 => {
                    name.clone_into(&mut self.child);
                    let outcome = draft.child(name, &attributes);
                    draft.note(outcome);
                }
                2 if self.child == "forward" => {
                    let outcome = draft.forward_child(name, &attributes);
                    draft.note(outcome);
                }
                2 if self.child == "metadata" && is_ours => {
                    let outcome = draft.policy(element.local_name().as_ref(), &attributes);
                    draft.note(outcome);
                }
                _ => {}
            },
            _ => {}
        }
        Ok(())
    }

    fn end(&mut self) {
        if self.network == Some(self.depth) {
            self.network = None;
        }
        self.depth = self.depth.saturating_sub(1);
    }

    fn text(&mut self, text: &str) {
        let in_child = self
            .network
            .is_some_and(|network| self.depth == network + 1);
        if let Some(draft) = &mut self.found
            && in_child
            && self.child == "name"
        {
            draft.name.push_str(text);
        }
    }
}

fn ill_formed(at: u64, why: &dyn std::fmt::Display) -> XmlError {
    XmlError::IllFormed {
        at,
        why: why.to_string(),
    }
}

/// `&lt;` and its like, or `&#10;`. libvirt's XML has no other entity.
fn character(reference: &BytesRef) -> Result<char, String> {
    if let Some(c) = reference
        .resolve_char_ref()
        .map_err(|why| why.to_string())?
    {
        return Ok(c);
    }
    let name = reference.xml10_content();
    let known = quick_xml::escape::resolve_predefined_entity(&name);
    let c = known.and_then(|text| text.chars().next());
    c.ok_or_else(|| format!("unknown entity &{name};"))
}

/// The attributes of one element.
struct Attributes<'a> {
    element: &'a BytesStart<'a>,
    at: u64,
}

impl Attributes<'_> {
    /// The attribute's text, unescaped.
    fn get(&self, name: &str) -> Result<Option<String>, XmlError> {
        let attribute = self.element.try_get_attribute(name);
        let attribute = attribute.map_err(|why| ill_formed(self.at, &why))?;
        let Some(attribute) = attribute else {
            return Ok(None);
        };
        let value = attribute.normalized_value(XmlVersion::Implicit1_0);
        let value = value.map_err(|why| ill_formed(self.at, &why))?;
        Ok(Some(value.into_owned()))
    }
}

/// A network while it is being read.
#[derive(Default)]
struct Draft {
    name: String,
    /// The mode of `<forward>`; nothing where there is none, or not yet.
    forward: Option<Mode>,
    forward_dev: Option<String>,
    nat_ipv6: bool,
    bridge: Option<BridgeName>,
    zone: Option<String>,
    addresses: Vec<IpNet>,
    routes: Vec<IpNet>,
    groups: Option<Vec<String>>,
    fault: Option<XmlError>,
}

impl Draft {
    /// Keeps the first fault and goes on: name and bridge may still come. A bridge that rules
    /// cannot name matters more than any other fault, as its name is in that one.
    fn note(&mut self, outcome: Result<(), XmlError>) {
        let Err(why) = outcome else {
            return;
        };
        let is_bridge =
            |why: &XmlError| matches!(why, XmlError::BadBridge(_) | XmlError::NoInterface(_));
        let is_kept = self
            .fault
            .as_ref()
            .is_some_and(|known| is_bridge(known) || !is_bridge(&why));
        if !is_kept {
            self.fault = Some(why);
        }
    }

    /// A wrong one is not passed over: it may have been there to keep the network out.
    fn policy(&mut self, name: &str, attributes: &Attributes) -> Result<(), XmlError> {
        if name != "policy" {
            return Err(XmlError::BadPolicy(PolicyFault::OtherElement));
        }
        if self.groups.is_some() {
            return Err(XmlError::BadPolicy(PolicyFault::Twice));
        }
        let groups = attributes.get("groups")?;
        let groups = groups.ok_or(XmlError::BadPolicy(PolicyFault::NoGroups))?;
        let names = groups.split([' ', '\t', '\n', '\r', ',']);
        let names = names.filter(|name| !name.is_empty());
        let names: Vec<_> = names.map(str::to_owned).collect();
        if names.len() > MOST_GROUPS {
            return Err(XmlError::BadPolicy(PolicyFault::TooManyGroups));
        }
        self.groups = Some(names);
        Ok(())
    }

    fn child(&mut self, name: &str, attributes: &Attributes) -> Result<(), XmlError> {
        match name {
            "forward" => {
                self.forward = Some(Mode::Unknown);
                self.forward = Some(mode(attributes.get("mode")?)?);
                self.forward_dev = attributes.get("dev")?;
            }
            // libvirt takes the first (src/conf/network_conf.c, `string(./bridge[1]/@name)`).
            "bridge" if self.bridge.is_none() => {
                self.zone = attributes.get("zone")?;
                if let Some(name) = attributes.get("name")? {
                    self.bridge = Some(bridge(name)?);
                }
            }
            "ip" => {
                let subnet = Subnet::read(Element::Ip, attributes)?;
                self.addresses.push(subnet.net()?);
            }
            "route" => {
                let subnet = Subnet::read(Element::Route, attributes)?;
                self.routes.push(subnet.net()?);
            }
            _ => {}
        }
        Ok(())
    }

    fn forward_child(&mut self, name: &str, attributes: &Attributes) -> Result<(), XmlError> {
        match name {
            // The first interface repeats `dev` in what libvirt writes.
            "interface" if self.forward_dev.is_none() => {
                self.forward_dev = attributes.get("dev")?;
            }
            "nat" => self.nat_ipv6 = attributes.get("ipv6")?.as_deref() == Some("yes"),
            _ => {}
        }
        Ok(())
    }

    /// The whole document has been read.
    fn finish(mut self) -> Result<Network, XmlError> {
        let mode = self.forward.unwrap_or(Mode::Isolated);
        let why = self.fault.take();
        self.named(mode, why)
    }

    /// The document is cut off or ill-formed from somewhere on.
    fn cut_short(mut self, why: XmlError) -> Result<Network, XmlError> {
        // It may have been in the part that is missing.
        let mode = self.forward.unwrap_or(Mode::Unknown);
        let why = self.fault.take().unwrap_or(why);
        self.named(mode, Some(why))
    }

    fn named(self, mode: Mode, fault: Option<XmlError>) -> Result<Network, XmlError> {
        // libvirt takes the text as it stands: leading and trailing blanks belong to a name.
        if self.name.is_empty() {
            return Err(fault.unwrap_or(XmlError::NoName));
        }
        let network = Network {
            name: self.name,
            mode,
            bridge: self.bridge,
            zone: self.zone,
            forward_dev: self.forward_dev,
            nat_ipv6: self.nat_ipv6,
            addresses: self.addresses,
            routes: self.routes,
            groups: self.groups,
            fault,
        }
        .trimmed();
        match &network.fault {
            Some(why) if network.is_without_bridge() => Err(why.clone()),
            _ => Ok(network),
        }
    }
}

fn mode(word: Option<String>) -> Result<Mode, XmlError> {
    Ok(match word.as_deref() {
        Some("none") => Mode::Isolated,
        None | Some("nat") => Mode::Nat,
        Some("route") => Mode::Route,
        Some("open") => Mode::Open,
        Some("bridge" | "private" | "vepa" | "passthrough" | "hostdev") => Mode::Unrouted,
        Some(other) => return Err(XmlError::UnknownMode(other.to_owned())),
    })
}

fn bridge(name: String) -> Result<BridgeName, XmlError> {
    name.parse().map_err(|_| match name.parse() {
        Ok(known) => XmlError::BadBridge(known),
        Err(_) => XmlError::NoInterface(name),
    })
}

/// The attributes that `<ip>` and `<route>` share.
struct Subnet {
    element: Element,
    family: Option<String>,
    address: Option<String>,
    netmask: Option<String>,
    prefix: Option<String>,
}

impl Subnet {
    fn read(element: Element, attributes: &Attributes) -> Result<Self, XmlError> {
        Ok(Self {
            element,
            family: attributes.get("family")?,
            address: attributes.get("address")?,
            netmask: attributes.get("netmask")?,
            prefix: attributes.get("prefix")?,
        })
    }

    fn net(&self) -> Result<IpNet, XmlError> {
        let net = self.address().and_then(|address| {
            let prefix = self.prefix_len(address)?;
            IpNet::new(address, prefix).map_err(|_| format!("prefix {prefix} is too long"))
        });
        net.map_err(|why| XmlError::BadSubnet {
            element: self.element,
            why,
        })
    }

    fn address(&self) -> Result<IpAddr, String> {
        let text = self.address.as_deref().ok_or("no address")?;
        let address: IpAddr = text.parse().map_err(|_| format!("no address: {text}"))?;
        let family = self.family.as_deref().unwrap_or("ipv4");
        match (family, address) {
            ("ipv4", IpAddr::V4(_)) | ("ipv6", IpAddr::V6(_)) => Ok(address),
            _ => Err(format!("{text} is no {family} address")),
        }
    }

    /// As libvirt's `virNetworkIPDefPrefix`: the netmask, else the prefix, else the class of
    /// the address; a prefix of 0 counts as none.
    fn prefix_len(&self, address: IpAddr) -> Result<u8, String> {
        if let Some(text) = &self.netmask {
            let mask: Ipv4Addr = text.parse().map_err(|_| format!("no netmask: {text}"))?;
            return ipnet::ipv4_mask_to_prefix(mask).map_err(|_| format!("no netmask: {text}"));
        }
        if let Some(text) = &self.prefix {
            let prefix: u8 = text.parse().map_err(|_| format!("no prefix: {text}"))?;
            if prefix > 0 {
                return Ok(prefix);
            }
        }
        match address {
            _ if address.is_unspecified() => Ok(0),
            IpAddr::V6(_) => Ok(64),
            IpAddr::V4(address) => match address.octets() {
                [0..128, ..] => Ok(8),
                [128..192, ..] => Ok(16),
                [192..224, ..] => Ok(24),
                _ => Err(format!("{address} has no prefix and no class")),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads with a thousandth of the limit, so that tests of it take no time.
    fn read_small(xml: &str) -> Result<Network, XmlError> {
        read_limited(xml.as_bytes(), MAX_XML / 1024)
    }

    fn read_text(xml: &str) -> Result<Network, XmlError> {
        read(xml.as_bytes())
    }

    fn nets(list: &[&str]) -> Vec<IpNet> {
        list.iter().map(|net| net.parse().unwrap()).collect()
    }

    #[test]
    fn reads_what_libvirt_hands_to_a_hook() {
        let net = read_text(
            "<hookData>
              <network connections='1'>
                <name>kube02</name><uuid>c7a5</uuid>
                <forward mode='nat' dev='eth0'>
                  <nat ipv6='yes'><port start='1024' end='65535'/></nat>
                  <interface dev='eth0'/>
                </forward>
                <bridge name='virbr_kube02' stp='on' delay='0'/>
                <ip address='10.17.3.1' netmask='255.255.255.0'>
                  <dhcp><range start='10.17.3.2' end='10.17.3.9'/></dhcp>
                </ip>
                <ip family='ipv6' address='fd00:10:17:3::1' prefix='64'/>
                <route address='10.244.0.0' prefix='16' gateway='10.17.3.21'/>
              </network>
            </hookData>",
        )
        .unwrap();
        assert_eq!(net.name, "kube02");
        assert_eq!(net.mode, Mode::Nat);
        assert!(net.nat_ipv6);
        assert_eq!(net.forward_dev.as_deref(), Some("eth0"));
        assert_eq!(net.bridge.as_ref().unwrap().as_str(), "virbr_kube02");
        assert_eq!(net.addresses, nets(&["10.17.3.1/24", "fd00:10:17:3::1/64"]));
        assert_eq!(net.routes, nets(&["10.244.0.0/16"]));
    }

    #[test]
    fn reads_every_mode() {
        for (forward, mode) in [
            ("", Mode::Isolated),
            ("<forward mode='none'/>", Mode::Isolated),
            ("<forward/>", Mode::Nat),
            ("<forward mode='nat'/>", Mode::Nat),
            ("<forward mode='route'/>", Mode::Route),
            ("<forward mode='open'/>", Mode::Open),
            ("<forward mode='bridge'/>", Mode::Unrouted),
            ("<forward mode='hostdev' managed='yes'/>", Mode::Unrouted),
        ] {
            let xml = format!("<network><name>n</name>{forward}</network>");
            assert_eq!(read_text(&xml).unwrap().mode, mode, "{forward}");
        }
        let odd = read_text("<network><name>n</name><forward mode='quantum'/></network>");
        assert!(matches!(odd, Err(XmlError::UnknownMode(_))));
    }

    #[test]
    fn a_subnet_without_prefix_has_that_of_its_class() {
        for (ip, expected) in [
            ("address='10.24.10.1'", "10.24.10.1/8"),
            ("address='172.16.1.1' prefix='0'", "172.16.1.1/16"),
            ("family='ipv4' address='192.168.7.1'", "192.168.7.1/24"),
            ("family='ipv6' address='fd00::1'", "fd00::1/64"),
        ] {
            let xml = format!("<network><name>n</name><ip {ip}/></network>");
            assert_eq!(read_text(&xml).unwrap().addresses, nets(&[expected]));
        }
        for bad in [
            "address='240.0.0.1'",
            "address='fd00::1'",
            "address='10.0.0.1' prefix='33'",
            "address='10.0.0.1' netmask='255.0.255.0'",
            "address='10.0.0.1; flush ruleset'",
            "prefix='24'",
        ] {
            let xml = format!("<network><name>n</name><ip {bad}/></network>");
            assert!(
                matches!(read_text(&xml), Err(XmlError::BadSubnet { .. })),
                "{bad}"
            );
        }
    }

    #[test]
    fn a_name_is_unescaped_and_otherwise_raw() {
        let net = read_text("<network><name>--a &lt;b&gt; &#x27;ü&quot; </name></network>");
        assert_eq!(net.unwrap().name, "--a <b> 'ü\" ");
        let net = read_text("<network><name><![CDATA[a&b]]></name></network>");
        assert_eq!(net.unwrap().name, "a&b");
        let nameless = read_text("<network><uuid/></network>");
        assert!(matches!(nameless, Err(XmlError::NoName)));
    }

    #[test]
    fn a_network_inside_metadata_is_no_network() {
        let net = read_text(
            "<networkstatus><network><metadata><x:y xmlns:x='u'><network><name>evil</name>
             <bridge name='virbr9'/></network><name>evil</name></x:y></metadata>
             <name>good</name><bridge name='virbr0'/><dns><host ip='1.2.3.4'/></dns>
             <portgroup name='p'><ip address='9.9.9.9'/></portgroup></network></networkstatus>",
        )
        .unwrap();
        assert_eq!(net.name, "good");
        assert_eq!(net.bridge.as_ref().unwrap().as_str(), "virbr0");
        assert!(net.addresses.is_empty());
    }

    #[test]
    fn a_policy_in_the_metadata_names_groups() {
        let read = |metadata: &str| {
            read_text(&format!(
                "<hookData><network xmlns:root='urn:virt-forward:1'><name>n</name>\
                 <metadata>{metadata}</metadata></network></hookData>"
            ))
        };
        for (metadata, groups) in [
            ("", None),
            ("<policy groups='kube'/>", None),
            ("<a:policy xmlns:a='urn:other' groups='kube'/>", None),
            ("<a:policy groups='kube'/>", None),
            ("<a:b xmlns:a='u'><root:policy groups='kube'/></a:b>", None),
            (
                "<a:policy xmlns:a='urn:virt-forward:1' groups=''/>",
                Some(vec![]),
            ),
            (
                "<policy xmlns='urn:virt-forward:1' groups='kube'/>",
                Some(vec!["kube"]),
            ),
            (
                "<root:policy groups=' kube, lab\nx'><root:later/></root:policy>",
                Some(vec!["kube", "lab", "x"]),
            ),
        ] {
            let groups = groups.map(|names| names.into_iter().map(str::to_owned).collect());
            assert_eq!(read(metadata).unwrap().groups, groups, "{metadata}");
        }
        for wrong in [
            "<root:policy/>",
            "<root:policy group='kube'/>",
            "<root:polcy groups='kube'/>",
            "<root:policy groups='kube'/><root:policy groups=''/>",
        ] {
            let why = read(wrong).unwrap_err();
            assert!(matches!(why, XmlError::BadPolicy(_)), "{wrong}: {why}");
        }
        let of = |count| format!("<root:policy groups='{}'/>", "g ".repeat(count));
        assert!(read(&of(MOST_GROUPS)).is_ok());
        assert!(read(&of(MOST_GROUPS + 1)).is_err());
    }

    #[test]
    fn what_is_wrong_with_the_document_is_said() {
        for ill in [
            "<network><name>n</nam></network>",
            "<network><name>n</name><domain name='it's'/></network>",
            "<network><name>n&nbsp;</name></network>",
            "<network a='1' a='2' bridge=><name>n</name><bridge name=virbr0/></network>",
        ] {
            assert!(
                matches!(read_text(ill), Err(XmlError::IllFormed { .. })),
                "{ill}: {:?}",
                read_text(ill)
            );
        }
        assert!(matches!(
            read_text("<network><name>n</name>"),
            Err(XmlError::Truncated)
        ));
        assert!(matches!(read_text("<domain/>"), Err(XmlError::NoNetwork)));
        assert!(matches!(read_text(""), Err(XmlError::NoNetwork)));
        let two = "<h><network><name>a</name></network><network><name>b</name></network></h>";
        assert!(matches!(read_text(two), Err(XmlError::TwoNetworks)));
        assert!(read(&b"<network><name>\xff\xfe</name></network>"[..]).is_err());
    }

    #[test]
    fn the_limit_holds_for_any_shape_of_document() {
        let name = format!("<network><name>{}</name></network>", "x".repeat(17 << 10));
        assert!(matches!(read_small(&name), Err(XmlError::TooBig)));
        let mut deep = "<network><name>n</name>".to_owned();
        // The parser gives up at a depth of 65536.
        deep.push_str(&"<a>".repeat(2 << 16));
        assert!(matches!(read_text(&deep), Err(XmlError::IllFormed { .. })));
        let wide = format!(
            "<network><name>n</name>{}</network>",
            "<a/>".repeat(5 << 10)
        );
        assert!(matches!(read_small(&wide), Err(XmlError::TooBig)));
    }

    #[test]
    fn whatever_is_wrong_beside_name_and_bridge_leaves_the_network_known() {
        let policy = |text: &str| format!("<metadata><p:{text} xmlns:p='{NAMESPACE}'/></metadata>");
        for (before, after) in [
            (policy("policy"), ""),
            (policy("polcy groups='a'"), ""),
            (
                policy(&format!("policy groups='{}'", "g ".repeat(MOST_GROUPS + 1))),
                "",
            ),
            ("<forward mode='quantum'/>".to_owned(), ""),
            ("<forward mode=nat/>".to_owned(), ""),
            (
                "<forward mode='nat'><nat ipv6=yes/></forward>".to_owned(),
                "",
            ),
            (String::new(), "<ip address='nowhere'/>"),
            (String::new(), "<ip address='10.0.0.1' prefix='99'/>"),
            (
                String::new(),
                "<route address='10.0.0.1' netmask='255.0.255.0'/>",
            ),
            (String::new(), "<domain name='it's'/>"),
            (String::new(), "<domain name='a&b;'/><mac>&nbsp;</mac>"),
            (String::new(), "<a></b>"),
            (String::new(), "</network><network><name>m</name></network>"),
        ] {
            let xml = format!(
                "<hookData><network><name>n</name>{before}<bridge name='virbr0'/>{after}\
                 </network></hookData>"
            );
            let network = read_text(&xml).unwrap_or_else(|why| panic!("{xml}: {why}"));
            assert_eq!(network.known_bridge().unwrap().as_str(), "virbr0", "{xml}");
            assert!(network.fault.is_some(), "{xml}");
        }
        let half = "<network><name>n</name><bridge name='virbr0'/><ip address='10.0";
        assert_eq!(read_text(half).unwrap().mode, Mode::Unknown);
        let mut long = "<network><name>n</name><bridge name='virbr0'/>".to_owned();
        long.push_str(&"<a/>".repeat(5 << 10));
        assert_eq!(read_small(&long).unwrap().fault, Some(XmlError::TooBig));
    }

    #[test]
    fn a_bridge_that_rules_cannot_name_is_known_and_nothing_else() {
        let read = |before: &str, name: &str| {
            let xml = format!("<network><name>n</name>{before}<bridge name='{name}'/></network>");
            read_text(&xml).unwrap()
        };
        let policy = format!("<metadata><p:policy xmlns:p='{NAMESPACE}'/></metadata>");
        for name in [
            "br@ev2", "virbr*", "a+", "a&quot;b", "all", "default", "größe",
        ] {
            for before in ["", &policy] {
                let network = read(before, name);
                let known = network.known_bridge().unwrap();
                assert_eq!(known.as_str(), name.replace("&quot;", "\""));
                assert!(network.routed_bridge().is_none() && network.fault.is_some());
            }
            // An administrator's own bridge is outside, whatever its name.
            assert!(
                read("<forward mode='bridge'/>", name)
                    .known_bridge()
                    .is_none()
            );
        }
        let network = read("", "a:b");
        assert!(network.known_bridge().is_none() && !network.is_without_bridge());
        assert!(
            read_text("<network><name>n</name></network>")
                .unwrap()
                .is_without_bridge()
        );
        let two = "<network><name>n</name><bridge name='virbr0'/><bridge name='virbr1'/></network>";
        assert_eq!(read_text(two).unwrap().bridge.unwrap().as_str(), "virbr0");
    }
}
