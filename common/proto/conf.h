/*
 * The configuration.  Floor 1: text to struct and back to text.
 * common/io/conf_load reads files and finds the host's name.
 *
 * The parent parses the file, makes every path absolute, and sends each role
 * the canonical text (hb_conf_dump), which the role parses with the same code:
 * parse(dump(c)) equals c.
 */
#ifndef HB_PROTO_CONF_H
#define HB_PROTO_CONF_H

#include "common/base/buf.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/proto/netaddr.h"
#include "common/proto/role.h"
#include "common/proto/route.h"

#define HB_CW_MANY 1u
#define HB_CW_RELOAD 2u
#define HB_CW_UNBUILT 4u
#define HB_CW_REFUSED 8u

/* All strings are NUL-terminated, have no inner NUL and live in the conf's
 * arena. */
struct hb_strs {
	char **v;
	size_t n;
};

enum hb_listen_kind { HB_LISTEN_SMTP, HB_LISTEN_SUBMISSION, HB_LISTEN_SUBMISSIONS, HB_LISTEN_LMTP };
enum hb_demand { HB_DEMAND_OFF, HB_DEMAND_OFFER, HB_DEMAND_REQUIRE };
struct hb_cidrs {
	struct hb_cidr *v;
	size_t n;
};
struct hb_listen {
	struct hb_netaddr addr; /* with port; any: every address, both
				 * families */
	bool any;
	enum hb_listen_kind kind;
	enum hb_demand tls;  /* smtp: offer; submission: require; submissions: implicit */
	enum hb_demand auth; /* smtp: off; submission(s): require */
	struct hb_cidrs proxies; /* balancers that speak PROXY */
};
struct hb_listens {
	struct hb_listen *v;
	size_t n;
};
struct hb_addrs {
	struct hb_netaddr *v; /* port 0 if none was given */
	size_t n;
};
struct hb_cert {
	char *chain, *key; /* paths */
};
struct hb_certs {
	struct hb_cert *v;
	size_t n;
};
enum hb_auth_kind { HB_AUTHSRC_PASSWD_FILE, HB_AUTHSRC_DOVECOT, HB_AUTHSRC_PAM };
struct hb_authsrc {
	enum hb_auth_kind kind;
	char *arg;
};
struct hb_auths {
	struct hb_authsrc *v; /* passwd-file, in order */
	size_t n;
	char *dovecot; /* socket, or NULL */
};
struct hb_role_user {
	char *role, *account;
};
struct hb_role_users {
	struct hb_role_user *v;
	size_t n;
};
enum hb_map_kind { HB_MAP_NONE, HB_MAP_AUTO, HB_MAP_HASH, HB_MAP_TEXT, HB_MAP_SOCKET };
struct hb_mapspec {
	enum hb_map_kind kind; /* NONE: not configured */
	char *arg;	       /* path; SOCKET: the text after "socketmap:" */
};
struct hb_userspec {
	bool passwd;
	struct hb_mapspec map;
};
enum hb_deliver_kind { HB_DELIVER_MAILDIR, HB_DELIVER_MBOX, HB_DELIVER_LMTP, HB_DELIVER_COMMAND };
struct hb_deliver {
	enum hb_deliver_kind kind;
	char *arg;
};
struct hb_smarthost {
	char *route; /* canonical, or NULL */
	char *auth_file;
};
struct hb_conf_route {
	char *pattern; /* lower case, A-labels; ".name", "name" or "*" */
	char *route;   /* canonical */
};
struct hb_conf_routes {
	struct hb_conf_route *v;
	size_t n;
};
enum hb_on_failure { HB_FILTER_TEMPFAIL, HB_FILTER_ACCEPT, HB_FILTER_REJECT };
struct hb_filter {
	char *name; /* as it was written: unix:PATH or inet:HOST:PORT */
	char *path; /* or NULL */
	struct hb_netaddr addr;
	int64_t timeout_ms;
	enum hb_on_failure on_failure;
};
struct hb_filters {
	struct hb_filter *v;
	size_t n;
};
enum hb_tls_level { HB_TLS_NONE, HB_TLS_MAY, HB_TLS_ENCRYPT, HB_TLS_VERIFY, HB_TLS_STS, HB_TLS_DANE };
struct hb_tls_policy {
	char *pattern;
	enum hb_tls_level level;
	struct hb_strs names;
	int64_t until_ms; /* 0: none; counts to the end of that day */
	char *reason;	  /* or NULL */
};
struct hb_tls_policies {
	struct hb_tls_policy *v;
	size_t n;
};
struct hb_workers {
	unsigned smtpd, delivery; /* 0: by number of cores */
};
struct hb_rate {
	unsigned count; /* 0: off */
	int64_t per_ms;
};
struct hb_retry {
	int64_t first_ms, max_ms;
};
enum hb_log_kind { HB_LOGTO_SYSLOG, HB_LOGTO_STDERR, HB_LOGTO_FILE };
struct hb_logspec {
	enum hb_log_kind kind;
	bool given; /* not the default */
	char *file;
	enum hb_log_format format;
	enum hb_level level;
};
enum hb_dmarc { HB_DMARC_OFF, HB_DMARC_REPORT_ONLY, HB_DMARC_ENFORCE };
enum hb_downgrade { HB_DOWNGRADE_OFF, HB_DOWNGRADE_WARN, HB_DOWNGRADE_DEFER };
enum hb_trust_ad { HB_TRUST_AUTO, HB_TRUST_YES, HB_TRUST_NO };
struct hb_dnssec_probe {
	char *name; /* NULL: not given */
	char *bad;  /* or NULL */
};
enum hb_tls_version { HB_TLSVER_1_2, HB_TLSVER_1_3 };

/* C type of each configuration type. */
#define HB_CONF_TYPES(X)                                                       \
	X(host, char *)                                                        \
	X(names, struct hb_strs)                                               \
	X(words, struct hb_strs)                                               \
	X(paths, struct hb_strs)                                               \
	X(path, char *)                                                        \
	X(users, struct hb_role_users)                                         \
	X(workers, struct hb_workers)                                          \
	X(listens, struct hb_listens)                                          \
	X(certs, struct hb_certs)                                              \
	X(tlsver, enum hb_tls_version)                                         \
	X(auths, struct hb_auths)                                              \
	X(milters, struct hb_filters)                                          \
	X(map, struct hb_mapspec)                                              \
	X(cidrs, struct hb_cidrs)                                              \
	X(size, uint64_t)                                                      \
	X(count, unsigned)                                                     \
	X(rate, struct hb_rate)                                                \
	X(duration, int64_t)                                                   \
	X(duration_off, int64_t)                                               \
	X(deliver, struct hb_deliver)                                          \
	X(users_map, struct hb_userspec)                                       \
	X(bool, bool)                                                          \
	X(delimiter, char)                                                     \
	X(smarthost, struct hb_smarthost)                                      \
	X(routes, struct hb_conf_routes)                                       \
	X(addrs, struct hb_addrs)                                              \
	X(addr, struct hb_netaddr)                                             \
	X(tls_policies, struct hb_tls_policies)                                \
	X(downgrade, enum hb_downgrade)                                        \
	X(endpoints, struct hb_addrs)                                          \
	X(trust_ad, enum hb_trust_ad)                                          \
	X(probe, struct hb_dnssec_probe)                                       \
	X(retry, struct hb_retry)                                              \
	X(dmarc, enum hb_dmarc)                                                \
	X(switch_words, struct hb_strs)                                        \
	X(log, struct hb_logspec)
#define X(name, ctype) typedef ctype hb_conf_type_##name;
HB_CONF_TYPES(X)
#undef X

/*
 * Places that the configuration names and only the parent can check
 * (pd_conf_check): files, folders, accounts, the time.  It reports its findings
 * by their line.
 */
enum hb_place_kind {
	HB_PLACE_LINE,	  /* each line that gives a keyword */
	HB_PLACE_TEXT,	  /* file that is part of the configuration */
	HB_PLACE_CERT,	  /* path: chain, more: key */
	HB_PLACE_CA,	  /* path */
	HB_PLACE_ALIASES, /* path, kind of map */
	HB_PLACE_USERS,	  /* path, kind of map: local-users */
	HB_PLACE_SENDERS, /* path, kind of map: sender-login */
	HB_PLACE_LOGINS,  /* path: auth passwd-file */
	HB_PLACE_LOG,	  /* path */
	HB_PLACE_MAILBOX, /* path: a template */
	HB_PLACE_COMMAND, /* path: a template */
	HB_PLACE_SOCKET,  /* path: socket of an LMTP server */
	HB_PLACE_ACCOUNT, /* path: name of the account, more: role */
	HB_PLACE_HOSTS,	  /* path: hosts-file */
	HB_PLACE_ROUTE,	  /* path: the route to a host */
	HB_PLACE_UNTIL	  /* ms: end of a keyword's `until` */
};
struct hb_place {
	enum hb_place_kind kind;
	const char *word, *file;
	unsigned line;
	const char *path, *more;
	enum hb_map_kind map;
	int64_t ms;
};
struct hb_places {
	struct hb_place *v;
	size_t n;
};

struct hb_conf {
	struct hb_arena *arena;
#define CONF_WORD(word, type, field, def, min, max, flags, text)               \
	hb_conf_type_##type field;
#include "common/proto/conf.def"
#undef CONF_WORD
	struct hb_places places; /* none in text of hb_conf_dump */
	struct hb_strs unbuilt; /* keywords given but not implemented yet */
	/* This host's addresses, sent by the parent, not part of the text
	 * (here.h). */
	struct hb_addrs interfaces;
};

/* Durations are in ms; duration_off: 0 is off. */

/* Collects all mistakes and warnings: FILE:LINE: what is wrong, what would be
 * right. */
struct hb_conf_report {
	struct hb_buf text; /* unbounded; one line each, with newline */
	size_t errors, warnings;
};

/* Reads a file for `include` and `file:`.  0 or -errno; the caller owns
 * CONTENT. */
typedef int (*hb_conf_read_fn)(void *ctx, const char *path,
    struct hb_buf *content);

struct hb_conf_source {
	const char *file;	/* its name in messages */
	const char *dir;	/* base of relative paths */
	struct hb_span text;
	/* NULL: TEXT comes from hb_conf_dump (role side): no include, no file:,
	 * no defaults because the dump writes them out, and no warnings */
	hb_conf_read_fn read;
	void *ctx;
	const char *default_hostname; /* NULL: the text must contain hostname */
	const char *default_aliases;  /* a path, or NULL */
};

/* Returns an owned conf, always; use it only if report->errors == 0. */
struct hb_conf *hb_conf_parse(const struct hb_conf_source *src,
    struct hb_conf_report *report);
void hb_conf_free(struct hb_conf **c);
/* Reports a mistake (or a WARNING) at the line of AT. */
void hb_conf_report_at(struct hb_conf_report *report,
    const struct hb_place *at, bool warning, const char *fmt, ...)
    HB_PRINTF(4, 5);
/* The first line that gave WORD, or NULL. */
const struct hb_place *hb_conf_line_of(const struct hb_conf *c,
    struct hb_span word);
/* Canonical text with every value written out; parses back to an equal conf. */
void hb_conf_dump(const struct hb_conf *c, struct hb_buf *out);
/* The keyword part of hauberk.conf(5), mdoc. */
void hb_conf_manual(struct hb_buf *out);

/* A copy that lives in ARENA. */
const struct hb_strs *hb_strs_keep(
    const struct hb_strs *from, struct hb_arena *arena);
/* Is DOMAIN (any case) one of NAMES? */
/* The domain appended to names without one: this host's name if mail for it is
 * delivered here, otherwise the first domain delivered here. */
const char *hb_conf_origin(const struct hb_conf *c);
bool hb_cidrs_have(const struct hb_cidrs *v, const struct hb_netaddr *a);
/* Does relay-from contain the client's address? */
bool hb_conf_relays_for(const struct hb_conf *c, const struct hb_netaddr *a);
bool hb_conf_has_name(const struct hb_strs *names, struct hb_span domain);
/* The account of ROLE: from `user`, or the default. */
const char *hb_conf_account(const struct hb_conf *c, enum hb_role role);
/* Is NAME (any case) the account of a role?  Such an account gets no mail, and
 * only the role runs as it. */
bool hb_conf_is_own_account(const struct hb_conf *c, struct hb_span name);
const char *hb_tls_level_word(enum hb_tls_level level);
/* Does DOMAIN match the pattern "name", ".name" (subdomains) or "*"? */
bool hb_pattern_match(const char *pattern, struct hb_span domain);
/* The most specific route or policy for DOMAIN, or NULL.  An entry whose
 * `until` is before NOW_MS no longer counts; while the clock is not BELIEVED,
 * one that demands a verified channel still counts. */
const struct hb_conf_route *hb_conf_route(const struct hb_conf *c,
    struct hb_span domain);
const struct hb_tls_policy *hb_conf_tls_policy(const struct hb_conf *c,
    struct hb_span domain, int64_t now_ms, bool believed);
/* Does `smarthost' or `route' name ROUTE (canonical)? */
bool hb_conf_says_route(const struct hb_conf *c, struct hb_span route);

#endif
