/*
 * Identity of this host: its names and addresses.  Floor 1.
 *
 * Routing, the choice of mail hosts and DSNs all ask here: RFC 5321 s5.1 (mail
 * must not loop), s4.1.3 (literals), RFC 6761 s6.3 (localhost needs no DNS).
 * The parent sends the addresses of the interfaces because the roles cannot ask
 * for them.
 */
#ifndef HB_PROTO_HERE_H
#define HB_PROTO_HERE_H

#include "common/proto/conf.h"

/* Sets the addresses of the interfaces, one per line.  Lines that are not
 * addresses are skipped. */
void hb_here_set_interfaces(struct hb_conf *c, struct hb_span text);

/*
 * Is mail for DOMAIN delivered here whatever `route` says?  True for `domain`,
 * the host's name, localhost, a literal of one of our addresses, or no domain.
 */
bool hb_here_is_domain(const struct hb_conf *c, struct hb_span domain);
/* Is NAME the name of this host?  Another host may bear the name of one of our
 * mail domains. */
bool hb_here_is_name(const struct hb_conf *c, struct hb_span name);
/* Is A, with any port, an address of this host? */
bool hb_here_is_address(const struct hb_conf *c, const struct hb_netaddr *a);
/*
 * Would a connection to A, with its port, reach this server?  Another server
 * may listen on another port or another address of this host.  An unspecified
 * address reaches any listener here: it always counts.
 */
bool hb_here_is_endpoint(const struct hb_conf *c, const struct hb_netaddr *a);

#endif
