// SPDX-License-Identifier: Apache-2.0
#pragma once

/// JSON objects described by tables: one row a key, with its type and its place in a struct. One
/// reader checks values, required keys and unknown ones alike, for the group file's items, the
/// connector's parameters and the host file.

#include "base/buf.h"
#include "config/validation_errors.h"
#include "sys/json.h"

#include <stdbool.h>
#include <stddef.h>

struct schema;
struct schema_key;

struct schema_type {
	/// Checks a value and puts it at `field`, unless that is NULL. False: `why` has the rule
	/// that it breaks.
	bool (*read)(
		const struct schema_key *key, const json_t *value, void *field, struct lm_buf *why);
	/// A new reference; NULL: the key is left out.
	json_t *(*write)(const void *field);
	void (*finish)(void *field); ///< NULL: nothing is to be freed.
};

struct schema_key {
	const char *name; ///< First: lm_str_nearest looks here.
	const struct schema_type *type;
	size_t field; ///< Offset in the struct.
	const struct schema
		*members; ///< Instead of `type`: an object, its keys in the same struct.
	bool required;
	unsigned since;           ///< The first version of the connector that has the key.
	const char *fallback;     ///< The default, as a JSON string has it; NULL: none.
	const char *pattern;      ///< As documented, or the words that are possible, as "A|B".
	unsigned lowest, highest; ///< For numbers.
};

struct schema {
	const struct schema_key *keys;
	size_t n;
	const char *unknown; ///< The rule that an unknown key breaks; NULL: "is not known".
	/// Errors show no value that may be a secret in the wrong place: of an unknown key, or of
	/// the wrong shape.
	bool hides_misplaced;
};
#define SCHEMA(keys)                                                                               \
	{                                                                                          \
		(keys), LM_ARRAY_SIZE(keys), NULL, false                                           \
	}

/// Where an object stands, for its errors.
struct schema_place {
	const char *entry;  ///< "Connectors[0] (MyId)"; may be NULL.
	const char *prefix; ///< In front of the keys' names: "" or "Policy.".
	unsigned version;   ///< Of the connector, for schema_key.since; 0: every key is known.
};

/// A string that is neither empty nor has control characters. As a char *.
extern const struct schema_type SCHEMA_TEXT;
/// The same, and an absolute path.
extern const struct schema_type SCHEMA_PATH;
extern const struct schema_type SCHEMA_BOOL;
/// From `lowest` to `highest`. As an unsigned; 0 is left out when it is written.
extern const struct schema_type SCHEMA_NUMBER;
/// Not looked at.
extern const struct schema_type SCHEMA_ANY;

/// Reads `object` into `into` (NULL: only checks) and fills in defaults. Adds what is wrong to
/// `errors`. `object` NULL is one without keys.
void schema_read(const struct schema *schema, const json_t *object,
	const struct schema_place *place, void *into, struct validation_errors *errors);
/// Puts every key that has a value into `object`.
void schema_write(const struct schema *schema, const void *from, json_t *object);
/// Frees what schema_read has allocated.
void schema_finish(const struct schema *schema, void *into);

// For types of other modules.

/// As SCHEMA_TEXT reads it, without a copy.
bool schema_take_text(const json_t *value, struct lm_str *ret, struct lm_buf *why);
/// Whether there are only ASCII letters and digits and bytes of `others`, in any locale.
bool schema_is_alnum(struct lm_str text, const char *others);
/// Replaces the text at `field`, unless that is NULL.
void schema_put_text(void *field, struct lm_str value);
json_t *schema_write_text(const void *field);
void schema_finish_text(void *field);
/// Adds the rule to `why` and returns false.
bool schema_refuse(struct lm_buf *why, const char *rule, ...) __attribute__((format(printf, 2, 3)));
