/*
 * The parent: starts the roles, connects them, keeps them running.  Floor 4,
 * private to the parent's files (prefix pd_).
 *
 *	STARTING --every role ready--> RUNNING --STOP, SIGTERM--> STOPPING
 *
 * It parses no remote byte.  It provides everything that a role may not open
 * itself: configuration, certificates and keys, listeners, logs, helpers.
 */
#ifndef HB_PARENT_PARENT_H
#define HB_PARENT_PARENT_H

#include <sys/resource.h>
#include <sys/types.h>

#include "common/io/counters.h"
#include "common/io/logsink.h"
#include "common/io/peer.h"
#include "common/proto/conf.h"

enum pd_phase { PD_STARTING, PD_RUNNING, PD_STOPPING };
enum pd_state { PD_DOWN, PD_STARTED, PD_READY };

struct pd_parent;

/* One process of a role. */
struct pd_proc {
	struct pd_parent *pd;
	enum hb_role role;
	unsigned instance;
	enum pd_state state;
	pid_t pid; /* 0: none */
	unsigned unanswered; /* pings without an answer */
	pid_t accuser; /* less trusted process that blamed it last; 0: none */
	unsigned blames; /* of others, by it, since blames_ms */
	int64_t blames_ms;
	bool broke; /* it was killed because it violated a protocol */
	bool ended; /* it has ended; its last frames are read before we act */
	int status; /* exit status */
	struct hb_peer *peer;
	struct hb_timer *timer; /* handling of its end, then the restart */
	int64_t delay_ms; /* before the next restart, if it soon ends */
	int64_t started_ms, ready_ms; /* hb_boot_ms, hb_mono_ms */
	unsigned restarts;
	uint32_t generation; /* of the configuration it uses */
	int64_t ahead_ms;    /* of its clock, as it reported last */
};

struct hb_ctl;
struct pd_trouble; /* see common/parent/trouble.c */
struct pd_renewal; /* see common/parent/renewal.c */

/* A file kept for roles that may not open it. */
struct pd_file {
	enum hb_file_kind kind;
	unsigned index;
	struct hb_buf bytes;
};
/* certificates and keys, ca-files, and one of each other kind */
enum { PD_FILES_MAX = 3 * HB_MAX_CERTIFICATES + HB_FILE_COUNT };
struct pd_files {
	struct pd_file v[PD_FILES_MAX];
	size_t n;
};

/* The sockets of one listen directive. */
struct pd_listener {
	struct hb_listen spec; /* without its proxies */
	int fd[2];
	size_t n;
};
struct pd_listeners {
	struct pd_listener *v;
	size_t n;
};

/* The state that a reload replaces. */
struct pd_setup {
	struct hb_conf *conf;
	struct pd_files files;
	struct pd_listeners listeners;
	struct hb_buf warnings; /* lines, for the log and status */
};

/* A client that waits for the end of a reload or stop. */
struct pd_asker {
	unsigned instance;
	uint64_t channel; /* of that control */
	uint32_t ref;
};
enum { PD_ASKERS_MAX = 16 };
struct pd_askers {
	struct pd_asker v[PD_ASKERS_MAX];
	size_t n;
};

struct pd_helper {
	pid_t pid;	  /* 0: free */
	int64_t until_ms; /* hb_mono_ms: the end of its lifetime */
};

enum { PD_HELPERS = HB_MAX_HELPERS + HB_MAX_PAM_HELPERS };

struct pd_parent {
	struct hb_loop *loop;
	const char *conf_file; /* absolute */
	const char *libexec;
	bool foreground, privileged;
	struct rlimit nofile; /* as at our start: for helpers */
	enum pd_phase phase;
	int exit_code;
	int64_t started_ms; /* hb_boot_ms */

	struct pd_setup now;
	struct pd_setup before; /* until all roles use NOW, or conf NULL */
	bool reload_again;	/* requested in the meantime */
	struct hb_buf text;	/* configuration text for the roles */
	uint32_t generation;
	int control_fd, lock_fd, run_lock_fd;
	struct hb_logdest log;
	int log_read_fd; /* -1: the log is not a file */
	struct hb_timer *log_retry;

	struct pd_proc *procs;
	size_t nprocs;
	struct hb_counters *counters;
	struct pd_helper helpers[PD_HELPERS];

	struct pd_trouble *troubles; /* current ones of all processes */
	size_t ntroubles;

	unsigned wave; /* of the stop */
	bool helpers_late; /* killed in it */
	struct hb_timer *stop_timer, *reload_timer, *watch_timer;
	struct pd_askers stop_askers, reload_askers, clock_askers;
	int64_t ahead_ms; /* lab: lead of the clock that the roles use */
	bool delivery_paused, listen_paused; /* until resume, or until we end */
	int64_t watched; /* state of the watched files: common/parent/watched.c */
	struct pd_renewal *renewal; /* of certificates, or NULL */

	/* The daemon's starter waits on this; -1: no starter. */
	int starter_fd;
};

/* parent.c: reports of the roles, and their lives */
void pd_make_procs(struct pd_parent *pd);
void pd_start_all(struct pd_parent *pd);
void pd_on_child(void *ctx, int signo);

/* process.c: used by all */
struct pd_proc *pd_find(struct pd_parent *pd, enum hb_role role,
    unsigned instance);
void pd_post(struct pd_proc *pr, enum hb_ipc_type type, const void *msg,
    int fd);
void pd_send_conf(struct pd_proc *pr);
void pd_send_log(struct pd_proc *pr);
/* For trace: only control gets it. */
void pd_send_logread(struct pd_proc *pr);
/* Call it after the configuration of the listeners was sent; only smtpd gets
 * them, and only when all roles are ready. */
void pd_send_listeners(struct pd_proc *pr);
/* Sends the current configuration to each role, or to those that WANTS
 * accepts. */
void pd_renew(struct pd_parent *pd, bool (*wants)(enum hb_role role));
void pd_kill(struct pd_proc *pr);
/* Where A waits, in C; false: it is gone. */
bool pd_asker_ctl(struct pd_parent *pd, const struct pd_asker *a,
    struct hb_ctl *c);
void pd_answer_all(struct pd_parent *pd, struct pd_askers *askers,
    unsigned exit_code, const char *text);

/* common/parent/stop.c */
void pd_stop(struct pd_parent *pd);
/* A process ended while stopping: continues with the next wave. */
void pd_stop_next(struct pd_parent *pd);

/* common/parent/reload.c */
/* Reads and checks the configuration file: OUT gets the conf and the warnings,
 * REPORT all findings.  Returns false if there are mistakes. */
bool pd_read_setup(const struct pd_parent *pd, struct pd_setup *out,
    struct hb_conf_report *report);
void pd_log_lines(struct hb_span text, enum hb_level level);
/* Returns 0 if the reload has begun, and the askers will be answered; or HB_E_*
 * with WHY filled, and the old configuration stays. */
int pd_reload(struct pd_parent *pd, struct hb_buf *why);
/* A role has accepted a configuration: the last one ends the reload. */
void pd_reload_done(struct pd_parent *pd);
/* A role cannot use GENERATION: if it is the current reload, the previous
 * configuration returns. */
void pd_reload_refused(struct pd_parent *pd, uint32_t generation,
    const char *why);

/* common/parent/clock.c: `lab advance` */
/* Reads the shift from the spool; 0 or an exit code, ERR filled. */
int pd_clock_load(struct pd_parent *pd, struct hb_buf *err);
void pd_send_clock(struct pd_proc *pr);
/* Answers the requester once all running roles have the new time. */
void pd_clock_done(struct pd_parent *pd);
/* Adds TIME; 0: the requester will be answered; or HB_E_* with WHY filled. */
int pd_clock_advance(struct pd_parent *pd, struct hb_span time,
    struct hb_buf *why);

/* common/parent/pause.c: WHAT is delivery or listen */
/* 0, or HB_E_* with WHY filled. */
int pd_pause(struct pd_parent *pd, struct hb_span what, bool on,
    struct hb_buf *why);
void pd_send_pause(struct pd_proc *pr);

/* common/parent/ping.c: every five seconds; a role that does not answer for
 * long is killed and replaced */
void pd_ping(struct pd_parent *pd);

/* common/parent/features.c */
void pd_say_features(const struct hb_conf *conf);
void pd_answer_features(const struct hb_ctl *c, const struct hb_conf *conf);

/* common/parent/folders.c */
struct pd_owner {
	uid_t uid;
	gid_t gid;
};
/* As root: the ids of ACCOUNT and GROUP, where they exist.  For NULL, and
 * otherwise: our own. */
struct pd_owner pd_owner_of(const struct pd_parent *pd, const char *account,
    const char *group);
/* 0 or an exit code, ERR filled. */
int pd_make_folders(const struct pd_parent *pd, struct hb_buf *err);

/* common/parent/lock.c */
/* 0 or an exit code, ERR filled. */
int pd_lock_folders(struct pd_parent *pd, struct hb_buf *err);

/* common/parent/certificate.c */
/* CONF names no certificate and needs one. */
bool pd_wants_own_certificate(const struct hb_conf *conf);
/* Path of the file NAME of that certificate; lives in SPACE. */
const char *pd_tls_path(const struct hb_conf *conf, const char *name,
    struct hb_buf *space);
/* Makes it at the first start.  0 or an exit code, ERR filled. */
int pd_ensure_certificate(const struct pd_parent *pd,
    const struct hb_conf *conf, struct hb_buf *err);
/* The text for roles: CONF, with the self-signed certificate if it names
 * none. */
void pd_role_text(const struct hb_conf *conf, struct hb_buf *out);

/* common/parent/files.c */
/* 0 or an exit code, ERR filled. */
int pd_load_files(const struct pd_parent *pd, const struct hb_conf *conf,
    struct pd_files *out, struct hb_buf *err);
void pd_free_files(struct pd_files *files);
bool pd_file_is_for(enum hb_file_kind kind, enum hb_role role);
/* Does ROLE get any of the watched files? */
bool pd_is_watching(enum hb_role role);
/* Reads the watched files again. */
void pd_load_watched(struct pd_parent *pd);

/* common/parent/renewal.c: certificates that change while the server runs */
/* Looks for pairs that were replaced; those that fit are put in force. */
void pd_renewal_look(struct pd_parent *pd);
/* The files were all read anew. */
void pd_renewal_begin(struct pd_parent *pd);
/* What is on its way to the roles is taken back. */
void pd_renewal_cancel(struct pd_parent *pd);
/* A role has reported: the next one may be due. */
void pd_renewal_next(struct pd_parent *pd);
/* A role cannot use GENERATION: if it is of a renewal, the pairs before
 * return. */
void pd_renewal_refused(struct pd_parent *pd, uint32_t generation,
    const char *why);

/* common/parent/watched.c */
/* A number that changes with the file; 0: there is none. */
int64_t pd_file_state(const char *path);
#define PD_RESOLV_CONF "/etc/resolv.conf"
/* The addresses of this host except 127.0.0.0/8, one per line.  Returns false
 * if they cannot be read now. */
bool pd_list_interfaces(struct hb_buf *out);
/* Has a watched file (resolv.conf, hosts-file) or an address of this host
 * changed? */
bool pd_files_changed(struct pd_parent *pd);

/* common/parent/submit.c */
/* The group of maildrop/ and of hauberk-submit.  Borrowed from CONF. */
const char *pd_submit_group(const struct hb_conf *conf);
/*
 * As root: is hauberk-submit setgid to that group?  SET: makes it so.  0, or
 * -errno with WHY filled: the problem, and the commands that mend it.
 */
int pd_check_submit(const struct pd_parent *pd, bool set, struct hb_buf *why)
    HB_MUSTCHECK;

/* common/parent/listen.c */
/* Opens the listeners of CONF; matching sockets of HAVE are shared.  0 or an
 * exit code. */
int pd_listen(const struct hb_conf *conf, const struct pd_listeners *have,
    struct pd_listeners *out, struct hb_buf *err);
/* Closes those of L that KEEP does not share. */
void pd_listen_close(struct pd_listeners *l, const struct pd_listeners *keep);

/* common/parent/log.c */
int pd_open_log(struct pd_parent *pd, struct hb_buf *err);
/* To all roles. */
void pd_spread_log(struct pd_parent *pd);
void pd_log_lost(void *ctx);

/* common/parent/trouble.c */
/* Handles hb_trouble_begin and hb_trouble_end of the parent itself; CTX is the
 * parent. */
void pd_own_trouble(void *ctx, enum hb_event ev, bool on, struct hb_span what,
    struct hb_span text);
/* PR has ended. */
void pd_trouble_forget(struct pd_parent *pd, const struct pd_proc *pr);
void pd_answer_trouble(const struct hb_ctl *c, const struct pd_parent *pd);

/* common/parent/helper.c */
/* Returns true if PID was a helper. */
bool pd_helper_ended(struct pd_parent *pd, pid_t pid, int status);
void pd_kill_helpers(struct pd_parent *pd);
bool pd_has_helpers(const struct pd_parent *pd);
/* Kills those that have lived too long. */
void pd_end_overdue(struct pd_parent *pd, int64_t now_ms);

/* spawn.c: children between fork and exec */
/* In a child: FD becomes descriptor 3, LOCK (or -1) 4, standard input and
 * output /dev/null, standard error too unless KEEP_STDERR; all others are
 * closed. */
void pd_child_fds(int fd, int lock, bool keep_stderr);
/* In the child of a helper: descriptors as above, the signals and limits that we
 * were started with, a session of its own. */
void pd_be_fresh(const struct pd_parent *pd, int fd);
/* The daemon has started: releases the terminal of its starter. */
void pd_let_go_of_terminal(void);

/* notify.c: sends systemd's datagram; does nothing without NOTIFY_SOCKET */
void pd_notify(const char *state);

/* Handlers of frames. */
#define IPC_TAKES(from, to)                                                    \
	((from) != HB_TO(PARENT) && ((to) & HB_TO(PARENT)) != 0)
#define IPC_CTX struct pd_parent
#define IPC_ON(name) pd_on_##name
#include "common/io/handlers.h"

#endif
