//! Hanging programs on interfaces, by tcx where the kernel has it and by clsact filters elsewhere.
//!
//! Both outlive the process: a tcx link because it is pinned, a filter because the qdisc holds it.
//! Replacing keeps to one order: the new program is attached before the old one is let go. Two
//! fences over the same maps drop what one would, so there is no instant without.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use aya::Ebpf;
use aya::programs::links::{FdLink, LinkOrder};
use aya::programs::tc::{NlOptions, SchedClassifierLink, TcAttachOptions, TcHandle};
use aya::programs::{ProgramInfo, SchedClassifier, TcAttachType, loaded_programs, tc};
use nix::sys::utsname::uname;

use crate::error::{AnyError, os_error, pin_error};
use crate::interfaces::{self, Interface};
use crate::layout::{DEADLINES, LINKS};
use crate::{FenceError, filters, gate, pins};

/// First of all: a filter before ours that lets a packet go would be a hole.
const PRIORITY: u16 = 1;

/// Where on an interface the fence hangs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hook {
    /// `BPF_LINK_TYPE_TCX`, Linux 6.6 and later.
    Tcx,
    /// A `bpf` filter on the clsact qdisc.
    Clsact,
}

impl Hook {
    /// The better one of those that this kernel has.
    #[must_use]
    pub fn of_kernel() -> Self {
        let release = uname().map(|name| name.release().to_string_lossy().into_owned());
        let mut numbers = release
            .iter()
            .flat_map(|release| release.split(|c: char| !c.is_ascii_digit()))
            .map(|number| number.parse::<u32>().unwrap_or(0));
        let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
        if version >= (6, 6) { Self::Tcx } else { Self::Clsact }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Ingress,
    Egress,
}

impl Side {
    const BOTH: [Self; 2] = [Self::Ingress, Self::Egress];

    fn program(self, interface: &Interface) -> &'static str {
        match (self, interface.ethernet) {
            (Self::Ingress, true) => "fence_in_ether",
            (Self::Ingress, false) => "fence_in_raw",
            (Self::Egress, true) => "fence_out_ether",
            (Self::Egress, false) => "fence_out_raw",
        }
    }

    fn attach_type(self) -> TcAttachType {
        match self {
            Self::Ingress => TcAttachType::Ingress,
            Self::Egress => TcAttachType::Egress,
        }
    }

    /// The programs that hang on this side by tcx.
    fn on_tcx(self, interface: &Interface) -> Result<Vec<ProgramInfo>, FenceError> {
        SchedClassifier::query_tcx(&interface.name, self.attach_type())
            .map(|(_, programs)| programs)
            .map_err(|error| FenceError::attach(&interface.name, error))
    }

    fn parent(self) -> u32 {
        match self {
            Self::Ingress => filters::INGRESS,
            Self::Egress => filters::EGRESS,
        }
    }

    fn pin(self, links: &Path, interface: &Interface) -> PathBuf {
        let side = match self {
            Self::Ingress => "in",
            Self::Egress => "out",
        };
        links.join(format!("{}_{side}", interface.index))
    }
}

/// The loaded programs and how they are hung.
#[derive(Debug)]
pub(crate) struct Programs {
    object: Ebpf,
    hook: Hook,
    links: PathBuf,
    /// The kernel's number of the deadlines map: a program that reads it is a fence of ours.
    deadlines: u32,
}

impl Programs {
    pub(crate) fn load(mut object: Ebpf, hook: Hook, directory: &Path) -> Result<Self, FenceError> {
        for (_, program) in object.programs_mut() {
            let program: &mut SchedClassifier = program.try_into().map_err(FenceError::load)?;
            program.load().map_err(FenceError::load)?;
        }
        let deadlines = gate::map_id(&directory.join(DEADLINES))?;
        Ok(Self { object, hook, links: directory.join(LINKS), deadlines })
    }

    /// Hangs the fence on both sides; false where it was there.
    pub(crate) fn attach(&mut self, interface: &Interface) -> Result<bool, FenceError> {
        let mut seen_to = false;
        for side in Side::BOTH {
            if self.guards_side(interface, side)? {
                continue;
            }
            match self.hook {
                Hook::Tcx => self.attach_tcx(interface, side)?,
                Hook::Clsact => self.attach_clsact(interface, side)?,
            }
            seen_to = true;
        }
        Ok(seen_to)
    }

    /// Whether the fence, in this very version, is on both sides.
    pub(crate) fn guards(&self, interface: &Interface) -> Result<bool, FenceError> {
        for side in Side::BOTH {
            if !self.guards_side(interface, side)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn guards_side(&self, interface: &Interface, side: Side) -> Result<bool, FenceError> {
        let failed = |error: AnyError| FenceError::attach(&interface.name, error);
        let wanted = self.program(interface, side).info().map_err(|error| failed(error.into()))?;
        let ours = |info: &ProgramInfo| info.tag() == wanted.tag() && reads(info, self.deadlines);
        match self.hook {
            Hook::Tcx => {
                let attached = side.on_tcx(interface)?;
                // The pin too: without it the link is some process's, and would end with it.
                Ok(attached.iter().any(ours) && side.pin(&self.links, interface).exists())
            }
            Hook::Clsact => {
                let programs = filters(interface, side)?.iter().map(|one| one.program).collect();
                Ok(infos(&programs).iter().any(ours) && has_clsact(interface)?)
            }
        }
    }

    fn attach_tcx(&mut self, interface: &Interface, side: Side) -> Result<(), FenceError> {
        let failed = |error: AnyError| FenceError::attach(&interface.name, error);
        let pin = side.pin(&self.links, interface);
        let next = pin.with_file_name(format!("{}_next", interface.index));

        let program = self.program_mut(interface, side);
        let options = TcAttachOptions::TcxOrder(LinkOrder::first());
        let id = program
            .attach_with_options(&interface.name, side.attach_type(), options)
            .map_err(|error| failed(error.into()))?;
        let link = program.take_link(id).map_err(|error| failed(error.into()))?;
        let link = FdLink::try_from(link).map_err(|error| failed(error.into()))?;

        // Pinned beside and moved over: the old link goes only as the new one takes its name. It
        // is an older version's, or that of an interface which is no more and had this number.
        let moved = fs::create_dir_all(&self.links)
            .and_then(|()| pins::gone(fs::remove_file(&next)))
            .and_then(|()| link.pin(&next).map_err(pin_error))
            .and_then(|_| fs::rename(&next, &pin));
        moved.map_err(|source| FenceError::Pin { action: "write", path: pin, source })
    }

    fn attach_clsact(&mut self, interface: &Interface, side: Side) -> Result<(), FenceError> {
        let failed = |error: AnyError| FenceError::attach(&interface.name, error);
        match tc::qdisc_add_clsact(&interface.name) {
            Err(error) if os_error(&error) != Some(libc::EEXIST) => {
                return Err(failed(error.into()));
            }
            // In the same place there may be an `ingress` qdisc, which takes a filter for what
            // goes out and shows it what comes in.
            Err(_) if !has_clsact(interface)? => {
                return Err(FenceError::IngressQdisc { interface: interface.name.clone() });
            }
            Ok(()) | Err(_) => {}
        }
        let deadlines = self.deadlines;
        let older = filters_reading(interface, side, deadlines)?;
        let program = self.program_mut(interface, side);
        let options =
            NlOptions { priority: PRIORITY, handle: TcHandle::AUTO_ASSIGN, classid: None };
        let id = program
            .attach_with_options(
                &interface.name,
                side.attach_type(),
                TcAttachOptions::Netlink(options),
            )
            .map_err(|error| failed(error.into()))?;
        // aya would detach the filter when its link is dropped.
        std::mem::forget(program.take_link(id).map_err(|error| failed(error.into()))?);
        detach_filters(interface, side, &older)
    }

    fn program(&self, interface: &Interface, side: Side) -> &SchedClassifier {
        self.object
            .program(side.program(interface))
            .and_then(|program| program.try_into().ok())
            .expect("`load` has seen this program")
    }

    fn program_mut(&mut self, interface: &Interface, side: Side) -> &mut SchedClassifier {
        self.object
            .program_mut(side.program(interface))
            .and_then(|program| program.try_into().ok())
            .expect("`load` has seen this program")
    }
}

/// Takes down what reads the maps of one layout's directory, in this network namespace.
pub(crate) fn detach_layout(directory: &Path) -> Result<(), FenceError> {
    pins::remove(&directory.join(LINKS))?;
    // No map, no filter that could be known for ours.
    let Ok(deadlines) = gate::map_id(&directory.join(DEADLINES)) else { return Ok(()) };
    for interface in interfaces::list()? {
        for side in Side::BOTH {
            let ours = filters_reading(&interface, side, deadlines)?;
            detach_filters(&interface, side, &ours)?;
        }
    }
    Ok(())
}

/// Whether a program that reads the maps of one layout's directory hangs on an interface of this
/// network namespace.
pub(crate) fn is_hung(directory: &Path) -> Result<bool, FenceError> {
    let Ok(deadlines) = gate::map_id(&directory.join(DEADLINES)) else { return Ok(false) };
    let tcx = Hook::of_kernel() == Hook::Tcx;
    for interface in interfaces::list()? {
        for side in Side::BOTH {
            if !filters_reading(&interface, side, deadlines)?.is_empty() {
                return Ok(true);
            }
            if tcx && side.on_tcx(&interface)?.iter().any(|info| reads(info, deadlines)) {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

fn detach_filters(
    interface: &Interface,
    side: Side,
    filters: &[filters::Filter],
) -> Result<(), FenceError> {
    for filter in filters {
        SchedClassifierLink::attached(
            &interface.name,
            side.attach_type(),
            filter.priority,
            TcHandle::from(filter.handle),
            None,
        )
        .map_err(|error| FenceError::attach(&interface.name, error))
        // A link detaches as it is dropped.
        .map(drop)?;
    }
    Ok(())
}

fn filters(interface: &Interface, side: Side) -> Result<Vec<filters::Filter>, FenceError> {
    filters::list(interface.index, side.parent())
        .map_err(|source| FenceError::Filters { interface: interface.name.clone(), source })
}

fn has_clsact(interface: &Interface) -> Result<bool, FenceError> {
    filters::has_clsact(interface.index)
        .map_err(|source| FenceError::Filters { interface: interface.name.clone(), source })
}

fn filters_reading(
    interface: &Interface,
    side: Side,
    map: u32,
) -> Result<Vec<filters::Filter>, FenceError> {
    let all = filters(interface, side)?;
    let infos = infos(&all.iter().map(|filter| filter.program).collect());
    let ours: BTreeSet<u32> =
        infos.iter().filter(|info| reads(info, map)).map(ProgramInfo::id).collect();
    Ok(all.into_iter().filter(|filter| ours.contains(&filter.program)).collect())
}

fn infos(programs: &BTreeSet<u32>) -> Vec<ProgramInfo> {
    if programs.is_empty() {
        return Vec::new();
    }
    // A program that was unloaded during the walk is no one's filter.
    loaded_programs().flatten().filter(|info| programs.contains(&info.id())).collect()
}

fn reads(info: &ProgramInfo, map: u32) -> bool {
    info.map_ids().is_ok_and(|ids| ids.is_some_and(|ids| ids.contains(&map)))
}
