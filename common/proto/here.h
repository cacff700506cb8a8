/*
 * What this host is: its names and its addresses.  Floor 1.
 *
 * The one answer for routing, for the choice of mail hosts and for DSNs:
 * RFC 5321 s5.1 (mail must not loop), s4.1.3 (literals), RFC 6761 s6.3
 * (localhost needs no DNS).  The addresses of the interfaces come from the
 * parent, as the roles cannot ask for them.
 */
#ifndef HB_PROTO_HERE_H
#define HB_PROTO_HERE_H

#include "common/proto/conf.h"

/* Takes the addresses of the interfaces, one a line.  Lines that are none are
 * passed over. */
void hb_here_set_interfaces(struct hb_conf *c, struct hb_span text);

/*
 * Is mail for DOMAIN delivered here whatever `route` says: `domain`, the
 * host's name, localhost, a literal of one of our addresses, no domain at all.
 */
bool hb_here_is_domain(const struct hb_conf *c, struct hb_span domain);
/* Is NAME that of this host: a host may bear the name of a mail domain of ours
 * and be another one. */
bool hb_here_is_name(const struct hb_conf *c, struct hb_span name);
/* Is A, with any port, an address of this host? */
bool hb_here_is_address(const struct hb_conf *c, const struct hb_netaddr *a);
/*
 * Would a connection to A, with its port, reach this server?  Another server
 * may listen on another port of this host, or on another of its addresses.
 * An unspecified address reaches whoever listens here: it always counts.
 */
bool hb_here_is_endpoint(const struct hb_conf *c, const struct hb_netaddr *a);

#endif
