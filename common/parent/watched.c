/* Parts of the system that change while the server runs: resolv.conf,
 * hosts-file, the addresses of this host.  Floor 4. */
#include "config.h"

#include <ifaddrs.h>
#include <sys/stat.h>

#include "common/parent/parent.h"
#include "common/io/sock.h"

/* fe80::/10: they stand in no MX record, and come and go with each
 * container. */
static bool
is_link_local(const struct hb_netaddr *a)
{
	return a->family == 6 && a->b[0] == 0xfe && (a->b[1] & 0xc0) == 0x80;
}

bool
pd_list_interfaces(struct hb_buf *out)
{
	struct ifaddrs *list;
	char text[HB_NETADDR_TEXT];

	if (getifaddrs(&list) != 0)
		return false;
	for (const struct ifaddrs *i = list; i != NULL; i = i->ifa_next) {
		struct hb_netaddr a;

		if (!hb_sock_of_interface(i->ifa_addr, &a) ||
		    hb_netaddr_is_loopback(&a) || is_link_local(&a))
			continue;
		hb_netaddr_format(&a, text);
		hb_buf_addf(out, "%s\n", text);
	}
	freeifaddrs(list);
	return true;
}

int64_t
pd_file_state(const char *path)
{
	struct stat st;

	if (path == NULL || stat(path, &st) != 0)
		return 0;
	return (int64_t)st.st_mtim.tv_sec * 1000003 + st.st_mtim.tv_nsec +
	    (int64_t)st.st_ino * 31 + st.st_size;
}

static bool
interfaces_changed(const struct pd_parent *pd)
{
	const struct pd_files *files = &pd->now.files;
	struct hb_buf now = HB_BUF_INIT(0);
	bool changed = false, known = pd_list_interfaces(&now);

	for (size_t i = 0; known && i < files->n; i++)
		if (files->v[i].kind == HB_FILE_INTERFACES)
			changed = !hb_span_eq(hb_buf_span(&now),
			    hb_buf_span(&files->v[i].bytes));
	hb_buf_free(&now);
	return changed;
}

bool
pd_files_changed(struct pd_parent *pd)
{
	int64_t now = pd_file_state(PD_RESOLV_CONF) * 7 +
	    pd_file_state(pd->now.conf->hosts_file);
	bool changed = now != pd->watched;

	pd->watched = now;
	return interfaces_changed(pd) || changed;
}
