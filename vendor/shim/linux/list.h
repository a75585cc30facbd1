/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Replacement: the kernel's circular list with the checks of
 * CONFIG_LIST_HARDENED, always on. A wrong link is a BUG with the place of the
 * call, before anything is written through it.
 */
#ifndef SHIM_LINUX_LIST_H
#define SHIM_LINUX_LIST_H

#include <linux/bug.h>
#include <linux/container_of.h>
#include <linux/types.h>
#include <module/steps.h>

/* The links of a deleted entry: addresses that cannot be mapped. */
#define LIST_POISON1 ((struct list_head *)0x100)
#define LIST_POISON2 ((struct list_head *)0x122)

#define LIST_HEAD_INIT(name) { &(name), &(name) }
#define LIST_HEAD(name) struct list_head name = LIST_HEAD_INIT(name)

static inline void INIT_LIST_HEAD(struct list_head *list)
{
	list->next = list;
	list->prev = list;
}

static inline bool list_empty(const struct list_head *head)
{
	return head->next == head;
}

static inline bool list_is_singular(const struct list_head *head)
{
	return !list_empty(head) && head->next == head->prev;
}

static inline void shim_list_check(bool fits, const char *fault,
				   const char *file, unsigned int line)
{
	if (unlikely(!fits))
		shim_bug(fault, file, line);
}

static inline void shim_list_join(struct list_head *prev, struct list_head *next)
{
	prev->next = next;
	next->prev = prev;
}

static inline void shim_list_insert(struct list_head *entry,
				    struct list_head *prev,
				    struct list_head *next,
				    const char *file, unsigned int line)
{
	shim_list_check(prev && next, "list_add corruption: null neighbour",
			file, line);
	shim_list_check(prev->next == next && next->prev == prev,
			"list_add corruption: neighbours disagree", file, line);
	shim_list_check(entry != prev && entry != next,
			"list_add double add", file, line);
	shim_list_join(prev, entry);
	shim_list_join(entry, next);
}

static inline void shim_list_unlink(struct list_head *entry,
				    const char *file, unsigned int line)
{
	shim_list_check(entry->next && entry->prev,
			"list_del corruption: null link", file, line);
	shim_list_check(entry->next != LIST_POISON1 && entry->prev != LIST_POISON2,
			"list_del corruption: deleted twice", file, line);
	shim_list_check(entry->prev->next == entry && entry->next->prev == entry,
			"list_del corruption: neighbours disagree", file, line);
	shim_list_join(entry->prev, entry->next);
}

static inline void shim_list_delete(struct list_head *entry,
				    const char *file, unsigned int line)
{
	shim_list_unlink(entry, file, line);
	entry->next = LIST_POISON1;
	entry->prev = LIST_POISON2;
}

static inline void shim_list_move(struct list_head *entry, struct list_head *prev,
				  const char *file, unsigned int line)
{
	shim_list_unlink(entry, file, line);
	shim_list_insert(entry, prev, prev->next, file, line);
}

/* Inserts the entries of a list between two neighbours. Does not reset the list. */
static inline void shim_list_splice(const struct list_head *list,
				    struct list_head *prev, struct list_head *next)
{
	if (list_empty(list))
		return;
	shim_list_join(prev, list->next);
	shim_list_join(list->prev, next);
}

#define __list_add(entry, prev, next) \
	shim_list_insert(entry, prev, next, __FILE__, __LINE__)
#define list_add(entry, head) \
	shim_list_insert(entry, head, (head)->next, __FILE__, __LINE__)
#define list_add_tail(entry, head) \
	shim_list_insert(entry, (head)->prev, head, __FILE__, __LINE__)
#define list_del(entry) shim_list_delete(entry, __FILE__, __LINE__)
#define list_move(entry, head) \
	shim_list_move(entry, head, __FILE__, __LINE__)

static inline void shim_list_move_tail(struct list_head *entry,
				       struct list_head *head,
				       const char *file, unsigned int line)
{
	/* The entry may be the last one: unlink it before reading head->prev. */
	shim_list_unlink(entry, file, line);
	shim_list_insert(entry, head->prev, head, file, line);
}

#define list_move_tail(entry, head) \
	shim_list_move_tail(entry, head, __FILE__, __LINE__)
#define list_splice(list, head) shim_list_splice(list, head, (head)->next)
#define list_splice_tail(list, head) shim_list_splice(list, (head)->prev, head)

/* Counts each step of a walk. */
#define list_entry(link, type, member) \
	(shim_step(), container_of(link, type, member))
#define list_first_entry(head, type, member) \
	list_entry((head)->next, type, member)
#define list_last_entry(head, type, member) \
	list_entry((head)->prev, type, member)
#define list_first_entry_or_null(head, type, member) \
	(list_empty(head) ? NULL : list_first_entry(head, type, member))

#define list_next_entry(entry, member) \
	list_entry((entry)->member.next, __typeof__(*(entry)), member)
#define list_prev_entry(entry, member) \
	list_entry((entry)->member.prev, __typeof__(*(entry)), member)
#define list_entry_is_head(entry, head, member) (&(entry)->member == (head))

#define list_for_each_entry(entry, head, member)				\
	for (entry = list_first_entry(head, __typeof__(*entry), member);	\
	     !list_entry_is_head(entry, head, member);				\
	     entry = list_next_entry(entry, member))

#define list_for_each_entry_reverse(entry, head, member)			\
	for (entry = list_last_entry(head, __typeof__(*entry), member);		\
	     !list_entry_is_head(entry, head, member);				\
	     entry = list_prev_entry(entry, member))

#define list_for_each_entry_safe(entry, after, head, member)			\
	for (entry = list_first_entry(head, __typeof__(*entry), member),	\
	     after = list_next_entry(entry, member);				\
	     !list_entry_is_head(entry, head, member);				\
	     entry = after, after = list_next_entry(after, member))

#define list_for_each_entry_safe_reverse(entry, before, head, member)		\
	for (entry = list_last_entry(head, __typeof__(*entry), member),		\
	     before = list_prev_entry(entry, member);				\
	     !list_entry_is_head(entry, head, member);				\
	     entry = before, before = list_prev_entry(before, member))

#endif
