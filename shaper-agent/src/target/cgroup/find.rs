//! Which of a process's cgroups is its container's.

use super::{
    super::error::{Reason, TargetError},
    CgroupPlace, OWN, Own,
    membership::Membership,
    mounts::Mount,
};

const HOW_TO_MOUNT: &str = "mount it with `mkdir -p /sys/fs/cgroup/unified && mount -t cgroup2 none \
                            /sys/fs/cgroup/unified` and restart the container";

/// Which part of a Kubernetes pod is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    /// The one container.
    Container,
    /// All containers of the pod that the container belongs to.
    Pod,
}

/// The cgroup of the container `id`, which a process is in; or the one that has to be made for it.
pub(super) fn find(
    membership: &Membership,
    mounts: &[Mount],
    id: &str,
    scope: Scope,
    object: &str,
) -> Result<CgroupPlace, TargetError> {
    let on_host = "it is on the host's network, so that only its cgroup tells its traffic apart; but";
    let mount = mounts.iter().find(|mount| mount.version_1.is_none()).ok_or_else(|| {
        let cause = format!("{on_host} no version 2 cgroup hierarchy is mounted here");
        TargetError::new(Reason::WrongKind, object, cause).next(HOW_TO_MOUNT)
    })?;
    let unified = membership.unified().ok_or_else(|| {
        let cause = format!("{on_host} this kernel has no version 2 cgroups");
        TargetError::new(Reason::WrongKind, object, cause)
    })?;
    if unified.split('/').any(|part| part == "..") {
        let cause = format!("{on_host} this process sees only a part of the cgroups");
        return Err(TargetError::new(Reason::WrongKind, object, cause)
            .next("run shaper-agent outside of containers, or in one with the host's cgroup namespace"));
    }
    // Where an agent has moved it already, it came from above.
    let origin = unified.strip_suffix(&format!("/{OWN}/{id}")).unwrap_or(unified);
    if let Some(path) = part_of(origin, id, scope) {
        return Ok(CgroupPlace { path: mount.directory(path), own: None });
    }
    let source = membership.version_1().find_map(|(controller, path)| {
        let has = |mount: &&Mount| {
            mount.version_1.as_ref().is_some_and(|options| options.iter().any(|option| option == controller))
        };
        Some(mounts.iter().find(has)?.directory(part_of(path, id, scope)?))
    });
    if source.is_none() {
        let cause = format!("{on_host} it shares the cgroup `{origin}` with other processes");
        return Err(TargetError::new(Reason::WrongKind, object, cause)
            .next("start it with a cgroup of its own, or name one with --cgroup PATH"));
    }
    Ok(CgroupPlace { path: mount.directory(origin).join(OWN).join(id), own: Some(Own { source }) })
}

/// The part of a cgroup's path that leads to the container `id`, or to its pod; none if it is not the container's.
///
/// A container may have cgroups within its own; engines call the outermost by the container's id, bare or as systemd's
/// scope. Only long ids are unmistakable when something stands before them.
pub(super) fn part_of<'a>(path: &'a str, id: &str, scope: Scope) -> Option<&'a str> {
    let long = id.len() >= 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    let is_its = |part: &str| {
        let part = part.strip_suffix(".scope").unwrap_or(part);
        part.strip_suffix(id)
            .is_some_and(|before| before.is_empty() || (long && before.ends_with(['-', ':'])))
    };
    let (mut begin, mut parent) = (1, "");
    for part in path.strip_prefix('/')?.split('/') {
        let end = begin + part.len();
        if is_its(part) {
            let pod =
                scope == Scope::Pod && parent.rsplit('/').next().is_some_and(|name| name.contains("pod"));
            return match scope {
                Scope::Container => Some(&path[..end]),
                Scope::Pod => pod.then_some(parent),
            };
        }
        parent = &path[..end];
        begin = end + 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    const ID: &str = "1f2e3d4c5b6a79881f2e3d4c5b6a79881f2e3d4c5b6a79881f2e3d4c5b6a7988";

    fn mounts() -> Vec<Mount> {
        let mount = |point: &str, version_1: Option<&str>| Mount {
            point: point.into(),
            version_1: version_1.map(|controller| vec!["rw".to_owned(), controller.to_owned()]),
        };
        vec![mount("/cg/pids", Some("pids")), mount("/cg/unified", None)]
    }

    fn found(membership: &str, scope: Scope) -> Result<CgroupPlace, TargetError> {
        find(&Membership::parse(membership), &mounts(), ID, scope, "it")
    }

    #[test]
    fn every_engine_calls_cgroups_by_the_id() {
        let part = |path: &str| part_of(&path.replace("ID", ID), ID, Scope::Container).map(str::to_owned);
        for path in [
            "/docker/ID",
            "/system.slice/docker-ID.scope",
            "/machine.slice/libpod-ID.scope",
            "/libpod_parent/libpod-ID",
            "/kubepods/burstable/pod7-8/ID",
            "/kubepods.slice/kubepods-pod7_8.slice/cri-containerd-ID.scope",
            "/system.slice:docker:ID",
        ] {
            let path = path.replace("ID", ID);
            assert_eq!(part(&path).as_deref(), Some(path.as_str()));
            assert_eq!(part(&format!("{path}/init.scope/a")).as_deref(), Some(path.as_str()));
        }
        for path in
            ["/", "/docker", "/docker/xID", "/docker/IDx", "docker/ID", "/system.slice/docker.service"]
        {
            assert_eq!(part(path), None, "{path}");
        }
    }

    #[test]
    fn short_ids_have_to_be_all_of_the_name() {
        assert_eq!(part_of("/default/web", "web", Scope::Container), Some("/default/web"));
        assert_eq!(part_of("/user.slice/session-2.scope", "2", Scope::Container), None);
    }

    #[test]
    fn a_pod_is_what_its_containers_are_in() {
        let pod = |path: &str| part_of(&path.replace("ID", ID), ID, Scope::Pod).map(str::to_owned);
        assert_eq!(pod("/kubepods/pod7-8/ID").as_deref(), Some("/kubepods/pod7-8"));
        let slice = "/kubepods.slice/kubepods-pod7_8.slice";
        assert_eq!(pod(&format!("{slice}/cri-containerd-ID.scope")).as_deref(), Some(slice));
        assert_eq!(pod("/k8s.io/ID"), None, "others may be in there");
        assert_eq!(pod("/ID"), None);
    }

    #[test]
    fn version_2_is_taken_where_it_has_the_container() {
        let place = found(&format!("4:pids:/docker/{ID}\n0::/docker/{ID}\n"), Scope::Container).unwrap();
        assert_eq!(
            (place.path(), place.is_own()),
            (Path::new("/cg/unified/docker").join(ID).as_path(), false)
        );
    }

    #[test]
    fn where_only_version_1_has_it_one_is_made_below_the_process() {
        for origin in ["/", "/system.slice/containerd.service"] {
            let membership = format!("4:pids:/docker/{ID}/inner\n0::{origin}\n");
            let place = found(&membership, Scope::Container).unwrap();
            let below = Path::new("/cg/unified").join(origin.trim_start_matches('/'));
            assert_eq!(place.path(), below.join(OWN).join(ID));
            let source = place.own.as_ref().and_then(|own| own.source.clone());
            assert_eq!(source, Some(Path::new("/cg/pids/docker").join(ID)));
            // The same when it has been moved there.
            let origin = origin.trim_end_matches('/');
            let moved = format!("4:pids:/docker/{ID}\n0::{origin}/{OWN}/{ID}\n");
            assert_eq!(found(&moved, Scope::Container).unwrap(), place);
        }
    }

    #[test]
    fn what_others_share_is_not_limited() {
        for membership in
            ["0::/user.slice/user-0.slice\n", "4:pids:/\n0::/\n", "4:pids:/docker\n0::/docker\n"]
        {
            let error = found(membership, Scope::Container).unwrap_err();
            assert!(error.to_string().contains("shares the cgroup"), "{error}");
        }
        let error = found(&format!("0::/../../docker/{ID}\n"), Scope::Container).unwrap_err();
        assert!(error.to_string().contains("sees only a part"), "{error}");
        let error = find(&Membership::parse("0::/\n"), &[], ID, Scope::Container, "it").unwrap_err();
        assert!(error.to_string().contains("mount -t cgroup2"), "{error}");
        assert_eq!(error.reason(), Reason::WrongKind);
    }
}
