/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cgroup.c - the deepest component of the path that names something wins: a unit
 * inside an LXC container is that unit; a container that runc put below
 * containerd.service is that container.
 *
 * A container runtime's own unit counts only when no other hierarchy says more:
 * where v1 and v2 are mounted together, runc makes no v2 cgroup, and the v2 line
 * of a container is its runtime's.
 */
#include "cgroup.h"

#include <string.h>

#define CONTAINER_ID_LEN 64
#define CONTAINER_NAME_LEN 12 /* as `docker ps` prints it */
#define UNIT_NAME_MAX 256     /* systemd's own bound */

enum found { FOUND_NOTHING, FOUND_RUNTIME, FOUND_NAME };

static bool is_container_id(struct slice id)
{
	for (size_t i = 0; i < id.len; i++) {
		char c = id.text[i];

		if (!(c >= '0' && c <= '9') && !(c >= 'a' && c <= 'f'))
			return false;
	}
	return id.len == CONTAINER_ID_LEN;
}

/* <id>, docker-<id>.scope, cri-containerd-<id>.scope, crio-<id>[.scope],
 * libpod-<id>[.scope], kubepods-<pod>.slice:cri-containerd:<id>. Not the monitors
 * (crio-conmon-, libpod-conmon-), nor libpod-payload-: that one lies below the
 * unit of a Quadlet or inside a libpod-<id>.scope, and those name it better. */
static bool oci_container(struct slice component, struct slice *ret_name)
{
	struct slice prefix, id = component;

	slice_strip_suffix(&id, ".scope");
	if (id.len < CONTAINER_ID_LEN)
		return false;
	prefix = (struct slice){id.text, id.len - CONTAINER_ID_LEN};
	id = (struct slice){id.text + prefix.len, CONTAINER_ID_LEN};
	if (!is_container_id(id))
		return false;
	if (prefix.len && !slice_ends_with(prefix, "-") &&
	    !slice_ends_with(prefix, ":"))
		return false;
	if (slice_ends_with(prefix, "conmon-") || slice_ends_with(prefix, "payload-"))
		return false;
	*ret_name = (struct slice){id.text, CONTAINER_NAME_LEN};
	return true;
}

/* lxc.payload.<name>, or <name> below lxc or lxc.payload; not lxc.monitor. */
static bool lxc_container(struct slice component, struct slice parent,
			  struct slice *ret_name)
{
	static const char prefix[] = "lxc.payload.";
	const size_t len = sizeof(prefix) - 1;

	if (component.len > len && slice_starts_with(component, prefix)) {
		*ret_name = (struct slice){component.text + len, component.len - len};
		return true;
	}
	if (!slice_is(parent, "lxc") && !slice_is(parent, "lxc.payload"))
		return false;
	*ret_name = component;
	return component.len > 0;
}

static bool is_runtime_unit(struct slice unit)
{
	static const char *const runtimes[] = {
	    "buildkit", "containerd",          "crio",        "docker",     "k3s",
	    "kubelet",  "k3s-agent",           "rke2-server", "rke2-agent", "podman",
	    "dockerd",  "snap.docker.dockerd", NULL};

	return slice_in(unit, runtimes);
}

/* NAME.service without the suffix; a template keeps its instance. systemd puts
 * '_' before names that could be a file of the kernel's in a cgroup directory
 * (cg_escape() in its src/basic/cgroup-util.c). A user's manager is no service:
 * what it runs is below it. */
static bool systemd_unit(struct slice component, struct slice *ret_name)
{
	struct slice unit = component;

	if (!slice_strip_suffix(&unit, ".service"))
		return false;
	if (unit.len > 1 && unit.text[0] == '_') {
		unit.text++;
		unit.len--;
	}
	*ret_name = unit;
	return !slice_starts_with(unit, "user@");
}

/* Undoes systemd's \xNN (systemd-escape(1)). */
static bool unit_to_label(struct slice unit, char *ret_name, size_t size)
{
	char text[UNIT_NAME_MAX];
	size_t len = 0;

	while (unit.len && len < sizeof(text)) {
		size_t step = 1;
		int byte = -1;

		if (slice_starts_with(unit, "\\x"))
			byte =
			    slice_hex_byte((struct slice){unit.text + 2, unit.len - 2});
		if (byte >= 0)
			step = 4;
		text[len++] = byte >= 0 ? (char)byte : *unit.text;
		unit.text += step;
		unit.len -= step;
	}
	return slice_to_label((struct slice){text, len}, ret_name, size);
}

static enum found name_from_path(struct slice path, bool units, char *ret_name,
				 size_t size)
{
	struct slice parent = {"", 0}, found = {"", 0}, name;
	bool is_unit = false, is_label;

	while (path.len) {
		struct slice component = slice_split(&path, '/');

		if (units && systemd_unit(component, &name)) {
			found = name;
			is_unit = true;
		} else if (oci_container(component, &name) ||
			   lxc_container(component, parent, &name)) {
			found = name;
			is_unit = false;
		}
		parent = component;
	}
	is_label = is_unit ? unit_to_label(found, ret_name, size)
			   : slice_to_label(found, ret_name, size);
	if (!is_label)
		return FOUND_NOTHING;
	return is_unit && is_runtime_unit(found) ? FOUND_RUNTIME : FOUND_NAME;
}

/* The order in which the lines are asked. Other hierarchies than systemd's own
 * hold units too, but under pure v1 some hold the container only there. */
enum hierarchy {
	HIERARCHY_UNIFIED,
	HIERARCHY_SYSTEMD,
	HIERARCHY_OTHER,
	HIERARCHY_COUNT
};

/* The lines are `number:controllers:path` (cgroups(7)). */
static enum hierarchy hierarchy_of(struct slice controllers)
{
	if (!controllers.len)
		return HIERARCHY_UNIFIED;
	if (slice_is(controllers, "name=systemd"))
		return HIERARCHY_SYSTEMD;
	return HIERARCHY_OTHER;
}

static enum found name_from_hierarchy(struct slice cgroup, enum hierarchy wanted,
				      char *ret_name, size_t size)
{
	enum found found = FOUND_NOTHING;

	while (cgroup.len && found == FOUND_NOTHING) {
		struct slice line = slice_split(&cgroup, '\n');

		slice_split(&line, ':');
		if (hierarchy_of(slice_split(&line, ':')) == wanted)
			found = name_from_path(line, wanted != HIERARCHY_OTHER,
					       ret_name, size);
	}
	return found;
}

bool cgroup_name(struct slice cgroup, char *ret_name, size_t size)
{
	enum hierarchy runtime = HIERARCHY_COUNT;

	for (enum hierarchy i = HIERARCHY_UNIFIED; i < HIERARCHY_COUNT; i++) {
		char name[UNIT_NAME_MAX];
		enum found found = name_from_hierarchy(cgroup, i, name, sizeof(name));

		if (found == FOUND_NAME)
			return slice_to_label(slice_of(name), ret_name, size);
		if (found == FOUND_RUNTIME && runtime == HIERARCHY_COUNT)
			runtime = i;
	}
	if (runtime == HIERARCHY_COUNT)
		return false;
	return name_from_hierarchy(cgroup, runtime, ret_name, size) != FOUND_NOTHING;
}
