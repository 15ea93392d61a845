// Work divided over threads that wait for it.

#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <unistd.h>

#include "arguments.h"

namespace {

// Makes denormal numbers 0. Vanishing gradients become denormal, which is slow and carries nothing here.
void flush_denormals() {
#if defined(__SSE__)
    __builtin_ia32_ldmxcsr(__builtin_ia32_stmxcsr() | 0x8040);
#elif defined(__aarch64__)
    uint64_t mode;
    __asm__ volatile("mrs %0, fpcr" : "=r"(mode));
    __asm__ volatile("msr fpcr, %0" ::"r"(mode | (1 << 24)));
#endif
}

inline void pause() {
#if defined(__SSE__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

// Threads that wait for work: spinning for a while, since the next call is often near, then asleep.
class Pool {
  public:
    // The pool of this process. A forked child makes a new one, since threads do not survive a fork. Never destroyed.
    static Pool& get() {
        static std::mutex mutex;
        static Pool* pool = nullptr;
        static pid_t owner = 0;
        std::lock_guard<std::mutex> lock(mutex);
        if (owner != getpid()) {
            pool = new Pool;
            owner = getpid();
        }
        return *pool;
    }

    // Calls work(jobs - 1) .. work(0), each once, on so many threads; the caller's is one of them.
    template <class Work>
    void run(Index threads, Index jobs, Work& work) {
        flush_denormals();
        const int helpers = static_cast<int>(std::min(threads, jobs)) - 1;
        if (helpers <= 0) {
            while (jobs > 0) work(--jobs);
            return;
        }
        std::lock_guard<std::mutex> one_caller(callers_);
        for (; started_ < helpers; started_++) std::thread(&Pool::serve, this, started_).detach();
        call_ = [](void* context, Index job) { (*static_cast<Work*>(context))(job); };
        context_ = &work;
        left_.store(jobs, std::memory_order_relaxed);
        helpers_.store(helpers, std::memory_order_relaxed);
        {
            std::lock_guard<std::mutex> lock(mutex_);
            round_ = (round_ + 1) & UINT32_MAX;
            state_.store(round_ << 32 | static_cast<uint64_t>(jobs), std::memory_order_release);
        }
        wake_.notify_all();
        take(round_);
        const auto done = [&] { return left_.load(std::memory_order_acquire) == 0; };
        if (!spin_until(done))
            while (!done()) std::this_thread::yield();
    }

  private:
    static constexpr int MICROSECONDS = 1000;  // more than lies between two calls of one update

    // Waits busily for a while: to give the core away and get it back costs more. Returns whether the wait was over then.
    template <class Condition>
    static bool spin_until(const Condition& done) {
        const auto end = std::chrono::steady_clock::now() + std::chrono::microseconds(MICROSECONDS);
        while (!done()) {
            if (std::chrono::steady_clock::now() > end) return false;
            for (int i = 0; i < 50 && !done(); i++) pause();
        }
        return true;
    }

    // Takes jobs of one round as long as there are any. The round is part of what is compared, so that a thread that
    // comes late finds nothing.
    void take(uint64_t round) {
        uint64_t state = state_.load(std::memory_order_acquire);
        while (state >> 32 == round && static_cast<uint32_t>(state)) {
            if (!state_.compare_exchange_weak(state, state - 1, std::memory_order_acq_rel)) continue;
            call_(context_, static_cast<uint32_t>(state) - 1);
            left_.fetch_sub(1, std::memory_order_acq_rel);
            state = state_.load(std::memory_order_acquire);
        }
    }

    void serve(int number) {
        flush_denormals();
        for (uint64_t seen = 0;;) {
            const auto fresh = [&] { return state_.load(std::memory_order_acquire) >> 32 != seen; };
            if (!spin_until(fresh)) {
                std::unique_lock<std::mutex> lock(mutex_);
                wake_.wait(lock, fresh);
            }
            seen = state_.load(std::memory_order_acquire) >> 32;
            if (number < helpers_.load(std::memory_order_relaxed)) take(seen);
        }
    }

    std::mutex callers_, mutex_;
    std::condition_variable wake_;
    std::atomic<uint64_t> state_{0};  // the round, and how many of its jobs nobody has taken yet
    std::atomic<Index> left_{0};      // jobs not done yet
    std::atomic<int> helpers_{0};
    void (*call_)(void*, Index) = nullptr;
    void* context_ = nullptr;
    uint64_t round_ = 0;
    int started_ = 0;
};

// The number of parts of whole blocks into which each of R equal loads is best cut: the fewest for the shortest time.
Index parts(Index R, Index blocks, Index threads) {
    Index best = 1, least = INT64_MAX;
    for (Index n = 1; n <= std::min(blocks, 4 * threads); n++) {
        const Index time = (R * n + threads - 1) / threads * ((blocks + n - 1) / n);
        if (time >= least) continue;
        best = n;
        least = time;
    }
    return best;
}

}  // namespace
