/*
 * Maps from key to value, in text files, Berkeley DB hash files and later
 * socket maps.  Floor 3.  Used by the router and the tools.
 */
#ifndef HB_IO_MAP_H
#define HB_IO_MAP_H

#include "common/base/buf.h"
#include "common/proto/conf.h"
#include "common/proto/maptext.h"

struct hb_map;

/* Opens lazily: a missing file shows at lookup.  Never NULL. */
struct hb_map *hb_map_open(const struct hb_mapspec *spec,
    enum hb_map_syntax syntax);
void hb_map_close(struct hb_map **m);
/*
 * Looks KEY up in lower case.  A changed file is read again; if it is long, the
 * old entries count until hb_map_read_on has read all of it.  Returns 0 (VALUE
 * filled), HB_E_NOTFOUND, HB_E_TEMP (cannot be read now).
 */
int hb_map_get(struct hb_map *m, struct hb_span key,
    struct hb_buf *value) HB_MUSTCHECK;

/* Where an entry stands.  FILE is borrowed from the map. */
struct hb_map_place {
	const char *file;
	unsigned line; /* 0: a database has none */
};
/* The same in what the last hb_map_version or hb_map_get read: all keys of one
 * question are looked up in one content.  *AT is filled with VALUE. */
int hb_map_find(struct hb_map *m, struct hb_span key, struct hb_buf *value,
    struct hb_map_place *at) HB_MUSTCHECK;

/* Version of the file's content, different after each change; 0 if it cannot be
 * read now. */
uint64_t hb_map_version(struct hb_map *m);
/* Calls ROW for each entry of a text map that hb_map_version has read, in the
 * file's order; the spans live until the next call for the map. */
void hb_map_walk(const struct hb_map *m, void (*row)(void *ctx,
    struct hb_span value), void *ctx);
/* Reads a slice of a long file that changed.  Returns true if there is more. */
bool hb_map_read_on(struct hb_map *m);
bool hb_map_is_reading(const struct hb_map *m);
/* Was M opened with SPEC? */
bool hb_map_is(const struct hb_map *m, const struct hb_mapspec *spec);

#define HB_MAP_REPLACE 1u /* the last entry with a key counts */
#define HB_MAP_SKIP 2u	  /* build from the valid lines */
/*
 * Builds the Berkeley DB file FILE.db from TEXT; readers see either the old or
 * the new file.  The first of several entries with the same key counts.  ERR
 * gets a line for each mistake ("FILE:LINE: ...").  A file with mistakes is not
 * built; with HB_MAP_SKIP it is built without those lines: *BAD (may be NULL)
 * is their number, without duplicate keys, which are reported as warnings.
 * Returns the number of entries, or HB_E_SYNTAX, HB_E_IO.
 */
int hb_map_build(const char *file, struct hb_span text,
    enum hb_map_syntax syntax, unsigned flags, unsigned *bad,
    struct hb_buf *err) HB_MUSTCHECK;
/* Calls ROW for each entry of the Berkeley DB file FILE.db, without the NUL
 * that sendmail ends keys and values with.  0 or HB_E_IO. */
int hb_map_dump(const char *file, void (*row)(void *ctx, struct hb_span key,
    struct hb_span value), void *ctx) HB_MUSTCHECK;

#endif
