/* The command line of sendmail.  Floor 4. */
#ifndef HB_TOOLS_SMOPTS_H
#define HB_TOOLS_SMOPTS_H

#include "common/base/span.h"

enum sm_mode {
	SM_DELIVER, /* -bm: the message is on standard input */
	SM_SMTP,    /* -bs */
	SM_LIST,    /* -bp, mailq */
	SM_ALIASES, /* -bi, newaliases */
	SM_VERIFY,  /* -bv */
	SM_TEST,    /* -bt */
	SM_FLUSH    /* -q */
};

/* Strings are borrowed from argv; NULL if not given. */
struct sm_opts {
	enum sm_mode mode;
	bool from_header; /* -t */
	bool ignore_dots; /* -i, -oi */
	bool verbose;	  /* -v */
	int wrong;	  /* after EX_USAGE: the letter of the option */
	bool require_tls; /* -O requiretls=yes, as in Postfix; RFC 8689 */
	const char *sender, *full_name, *conf;
	const char *envid;	/* -V, as given */
	unsigned notify, ret, body; /* HB_NOTIFY_*, enum hb_ret, enum hb_body */
	const char *flush;	/* -qI and -qR: what to flush; NULL: all */
	char **rcpts;
	int nrcpts;
};

/* Returns 0; otherwise EX_USAGE with *WHY (static text).  The name in argv[0]
 * matters: mailq and newaliases have modes of their own. */
int sm_opts_parse(int argc, char **argv, struct sm_opts *o,
    const char **why) HB_MUSTCHECK;

#endif
