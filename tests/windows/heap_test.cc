// Memory of programs for Windows is mimalloc's, whatever asks for it.
#include <gtest/gtest.h>
#include <malloc.h>
#include <windows.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <cwchar>
#include <memory>
#include <thread>
#include <vector>

#include "base/aligned.h"

#ifndef MR_NO_MIMALLOC
#include <mimalloc.h>

namespace {

// A pointer that is used as it must be, and looked at.
void ExpectOurs(void *memory, size_t bytes) {
    ASSERT_NE(nullptr, memory);
    EXPECT_TRUE(mi_is_in_heap_region(memory));
    EXPECT_GE(mi_usable_size(memory), bytes);
}

TEST(Heap, IsMimallocsForC) {
    void *memory = std::malloc(100);
    ExpectOurs(memory, 100);
    memory = std::realloc(memory, 100000);
    ExpectOurs(memory, 100000);
    std::free(memory);
    auto *zeros = static_cast<char *>(std::calloc(100, 100));
    ExpectOurs(zeros, 10000);
    EXPECT_EQ(10000, std::count(zeros, zeros + 10000, '\0'));
    std::free(zeros);
    EXPECT_EQ(nullptr, std::calloc(SIZE_MAX / 2, 4));
    std::free(nullptr);
}

TEST(Heap, IsMimallocsForTheFunctionsOfTheCLibraryThatReturnMemory) {
    char *text = strdup("text");
    ExpectOurs(text, 5);
    EXPECT_STREQ("text", text);
    std::free(text);
    text = _strdup("text");  // To the compiler, a function of a DLL.
    ExpectOurs(text, 5);
    std::free(text);
    wchar_t *wide = _wcsdup(L"w\u00fcrde");
    ExpectOurs(wide, 6 * sizeof(*wide));
    EXPECT_STREQ(L"w\u00fcrde", wide);
    std::free(wide);
}

TEST(Heap, IsMimallocsForAlignedMemory) {
    for (size_t alignment = 16; alignment <= 65536; alignment *= 2) {
        std::vector<void *> all;
        for (size_t i = 1; i <= 8; i++) {
            size_t bytes = alignment * i;
            all.push_back(mr_aligned_alloc(alignment, bytes));
            ExpectOurs(all.back(), bytes);
            EXPECT_EQ(0u, reinterpret_cast<uintptr_t>(all.back()) % alignment) << bytes;
            std::memset(all.back(), 'x', bytes);
        }
        for (void *memory : all) {
            mr_aligned_free(memory);
        }
    }
    mr_aligned_free(nullptr);
}

TEST(Heap, IsMimallocsForCxx) {
    auto object = std::make_unique<int[]>(1000);
    ExpectOurs(object.get(), 4000);
}

TEST(Heap, LeavesErrorsOfTheSystemAlone) {
    SetLastError(ERROR_FILE_NOT_FOUND);
    std::free(std::malloc(64));
    EXPECT_EQ(DWORD{ERROR_FILE_NOT_FOUND}, GetLastError());
}

// Each thread has a heap, which others free into and which outlives it.
TEST(Heap, PassesMemoryBetweenThreads) {
    constexpr int kThreads = 8;
    constexpr int kBlocks = 20000;
    std::vector<std::atomic<char *>> shelf(1000);
    std::atomic<int> wrong{0};
    auto work = [&](int number) {
        thread_local int own = 0;  // Has memory from this heap, too.
        for (int i = 0; i < kBlocks; i++) {
            size_t bytes = 8 + static_cast<size_t>(i * 37 % 5000);
            auto *block = static_cast<char *>(std::malloc(bytes));
            wrong += mi_is_in_heap_region(block) ? 0 : 1;
            std::memset(block, number, bytes);
            char *other = shelf[static_cast<size_t>(i * 7 % 1000)].exchange(block);
            if (other != nullptr) {
                wrong += other[0] == other[7] && other[0] >= 1 && other[0] <= 2 * kThreads ? 0 : 1;
                std::free(other);
            }
            own++;
        }
        wrong += own == kBlocks ? 0 : 1;
    };
    for (int round = 0; round < 2; round++) {
        std::vector<std::thread> threads;
        for (int i = 0; i < kThreads; i++) {
            threads.emplace_back(work, 1 + round * kThreads + i);
        }
        for (std::thread &thread : threads) {
            thread.join();
        }
    }
    EXPECT_EQ(0, wrong);
    for (std::atomic<char *> &left : shelf) {
        std::free(left);  // Of threads that have ended.
    }
}

TEST(Heap, IsOfTheVersionThatWasAskedFor) {
    EXPECT_EQ(MI_MALLOC_VERSION, mi_version());
}

}  // namespace

#else

TEST(Heap, IsMimallocs) {
    GTEST_SKIP() << "NOT TESTED: mimalloc's source can't be had on this machine";
}

#endif
