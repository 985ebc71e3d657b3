// SPDX-License-Identifier: Apache-2.0
#include "deploy/pulled_images.h"

#include "base/limits.h"
#include "deploy/generation_folder.h"

#include <string.h>

enum { NAMES_MAX = 16 }; ///< Of one image.

lm_rc pulled_images_read(int root_fd, json_t **ret, struct lm_err *err)
{
	return generation_object_read(root_fd, PULLED_IMAGES, ret, err);
}

/// Whether `name` was added to the image's names.
static bool note_name(json_t *image, const char *name)
{
	json_t *names = json_object_get(image, "names"), *other;
	size_t i;

	json_array_foreach(names, i, other)
	{
		if (json_is_string(other) && strcmp(json_string_value(other), name) == 0)
			return false;
	}
	// With a name that is not here it counts as somebody else's.
	return json_array_size(names) < NAMES_MAX &&
	       json_array_append_new(names, json_string(name)) == 0;
}

/// Makes room for another one.
static void forget_oldest(json_t *images)
{
	const char *id, *oldest = NULL;
	json_int_t first = 0;
	json_t *image;

	if (json_object_size(images) < LIMIT_PULLED_IMAGES)
		return;
	json_object_foreach(images, id, image)
	{
		json_int_t n = json_get_int(image, "generation", 0);

		if (!oldest || n < first) {
			oldest = id;
			first = n;
		}
	}
	(void)json_object_del(images, oldest);
}

lm_rc pulled_images_note(
	int root_fd, const char *id, const char *name, unsigned n, bool is_new, struct lm_err *err)
{
	lm_auto_json json_t *images = NULL;
	lm_rc rc = pulled_images_read(root_fd, &images, err);
	json_t *image = json_object_get(images, id);

	if (rc || (!image && !is_new))
		return rc;
	if (!json_is_array(json_object_get(image, "names"))) {
		forget_oldest(images);
		image = json_pack("{s:[], s:i}", "names", "generation", (int)n);
		if (json_object_set_new(images, id, image) < 0)
			return lm_fail(err, LM_E_INVALID, 0, "this is not the ID of an image");
		(void)note_name(image, name);
		return generation_json_replace(root_fd, PULLED_IMAGES, images, err);
	}
	bool changed = note_name(image, name);

	if (json_get_int(image, "generation", 0) != n) {
		json_object_set_new(image, "generation", json_integer(n));
		changed = true;
	}
	return changed ? generation_json_replace(root_fd, PULLED_IMAGES, images, err) : LM_OK;
}

lm_rc pulled_images_forget(int root_fd, const char *id, struct lm_err *err)
{
	lm_auto_json json_t *images = NULL;
	lm_rc rc = pulled_images_read(root_fd, &images, err);

	if (rc || json_object_del(images, id) < 0) // it is not here
		return rc;
	return generation_json_replace(root_fd, PULLED_IMAGES, images, err);
}
