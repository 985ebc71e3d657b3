// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The files of the AWS SDKs and tools, ~/.aws/credentials and ~/.aws/config: sections of
/// `key = value` lines. (AWS SDKs and Tools Reference Guide: "Using shared config and credentials
/// files to globally configure AWS SDKs and tools",
/// https://docs.aws.amazon.com/sdkref/latest/guide/file-format.html.)
///
/// A ':' may stand in place of the first '=', as in botocore. Keys compare without regard to case;
/// of a key that is there twice the last counts; " #" and " ;" begin a comment behind a value.
/// Lines that are indented deeper than a key without a value are settings nested in it ("s3 =", and
/// below it "addressing_style = path"); behind a key with a value they go on with it,
/// which is for command lines.

#include "base/cleanup.h"
#include "base/error.h"
#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>

enum profile_file_kind {
	PROFILE_FILE_CREDENTIALS, ///< [name]
	PROFILE_FILE_CONFIG,      ///< [default], [profile name] and [services name]
};

enum profile_section {
	PROFILE_SECTION_PROFILE,
	PROFILE_SECTION_SERVICES, ///< Endpoints of single services, for profiles that name it.
	PROFILE_SECTION_OTHER,    ///< "[sso-session x]", and what the word "profile" is missing of.
};

/// A section, or a setting in one. Borrowed from the text.
struct profile_entry {
	enum profile_section section;
	struct lm_str name;
	struct lm_str key;    ///< Empty: the section's own line.
	struct lm_str nested; ///< Empty: the key's own value.
	struct lm_str value;
	/// The value with what may be a comment and with the lines that go on with it, for command
	/// lines.
	struct lm_str whole;
};

struct profile_file {
	struct profile_entry *entries;
	size_t n;
};

/// LM_E_INVALID: the text is no such file; the message names the line and nothing of its content.
/// The text must last as long as what is made of it.
lm_rc profile_file_parse(struct lm_str text, enum profile_file_kind kind, struct profile_file *ret,
	struct lm_err *err);
void profile_file_finish(struct profile_file *f);
#define lm_auto_profile_file lm_auto(profile_file_finish)

bool profile_file_has(
	const struct profile_file *f, enum profile_section section, struct lm_str name);
/// The value of a key of a profile; empty if it has none.
struct lm_str profile_file_get(
	const struct profile_file *f, struct lm_str profile, const char *key);
/// The same with what may be a comment behind it, and the lines that go on with it.
struct lm_str profile_file_get_whole(
	const struct profile_file *f, struct lm_str profile, const char *key);
/// The value of a setting nested in a key; empty if there is none.
struct lm_str profile_file_get_nested(const struct profile_file *f, enum profile_section section,
	struct lm_str name, const char *key, const char *nested);

enum { PROFILE_COMMAND_WORDS_MAX = 256 };

/// The words of a command line of credential_process, taken apart as a POSIX shell does, and
/// nothing else of what a shell does: no variables, no patterns, no operators.
struct profile_command {
	char **items; ///< NULL-ended, for a program's arguments.
	size_t n;
};

/// False: a quote is not closed, a backslash ends the text, there is a NUL in it, or it has more
/// than PROFILE_COMMAND_WORDS_MAX words; `*ret_why` says which.
bool profile_command_split(struct lm_str text, struct profile_command *ret, const char **ret_why);
/// Wipes and frees: a word may be a password.
void profile_command_finish(struct profile_command *w);
#define lm_auto_profile_command lm_auto(profile_command_finish)
