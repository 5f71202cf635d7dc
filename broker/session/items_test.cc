#include "broker/session/items.h"

#include <gtest/gtest.h>

#include <deque>
#include <random>

#include "broker/session/testing.hh"

namespace mr_testing {
namespace {

mr_item Numbered(uint32_t number) {
    mr_item item;
    memset(&item, 0, sizeof(item));
    item.of.id = number;
    return item;
}

TEST(Items, BehaveAsADequeWhateverIsPushedPoppedAndRemoved) {
    World world;
    mr_items items;
    memset(&items, 0, sizeof(items));
    std::deque<uint32_t> expected;
    std::mt19937 random(7);
    for (uint32_t step = 0; step < 20000; step++) {
        // Grows at first, shrinks then, and again.
        bool growing = step / 2000 % 2 == 0;
        if (random() % 3 != 0 ? growing : !growing) {
            mr_item item = Numbered(step);
            ASSERT_EQ(mr_items_push(&items, world.pool(), &item), MR_OK);
            expected.push_back(step);
        } else if (!expected.empty()) {
            uint32_t index = static_cast<uint32_t>(random() % expected.size());
            if (random() % 2 == 0) {
                index = 0;
                mr_items_pop(&items);
            } else {
                mr_items_remove(&items, index);
            }
            expected.erase(expected.begin() + index);
        }
        if (random() % 16 == 0) {
            mr_items_trim(&items);
        }
        ASSERT_EQ(items.count, expected.size());
        if (step % 16 == 0) {
            for (uint32_t i = 0; i < items.count; i++) {
                ASSERT_EQ(mr_items_at(&items, i)->of.id, expected[i]);
            }
        }
    }
    while (items.count > 0) {
        mr_items_pop(&items);
    }
    mr_items_trim(&items);
    EXPECT_EQ(items.buf, nullptr);
    mr_items_trim(&items);
}

TEST(Items, StayAsTheyAreWithoutMemory) {
    World world(2048);
    mr_items items;
    memset(&items, 0, sizeof(items));
    uint32_t count = 0;
    mr_item item = Numbered(0);
    while (mr_items_push(&items, world.pool(), &item) == MR_OK) {
        item = Numbered(++count);
    }
    EXPECT_GE(count, 16u);
    EXPECT_EQ(items.count, count);
    EXPECT_EQ(mr_items_push(&items, world.pool(), &item), MR_ERR_NOMEM);
    for (uint32_t i = 0; i < count; i++) {
        EXPECT_EQ(mr_items_at(&items, i)->of.id, i);
    }
    items.count = 0;
    mr_items_trim(&items);
}

TEST(Items, ReleaseWhatTheyReferTo) {
    World world;
    mr_item item = Numbered(0);
    {
        Publication publication;
        Outgoing outgoing(&world, publication);
        item.message = mr_message_ref(mr_outgoing_message(outgoing.get()));
        mr_buf *buf = mr_buf_new(world.pool(), 100);
        item.of.ids = reinterpret_cast<mr_item_ids *>(buf->data);
        item.of.ids->buf = buf;
        item.flags = MR_ITEM_MANY_IDS | MR_ITEM_RETAIN;
    }
    EXPECT_EQ(world.stats().in_use_count, 2u);
    mr_item_release(&item);
    EXPECT_EQ(item.message, nullptr);
    EXPECT_EQ(item.flags, MR_ITEM_RETAIN);
    mr_item_release(&item);
    EXPECT_EQ(world.stats().in_use_count, 0u);
}

}  // namespace
}  // namespace mr_testing
