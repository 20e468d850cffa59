// SPDX-License-Identifier: Apache-2.0
// shop: as calls.c, with exceptions. Each answer ends with the count of destructors
// that ran.
#include <atomic>
#include <cstdio>
#include <cstring>
#include <iostream>
#include <pthread.h>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#define PROBED __attribute__((noipa, used))

extern "C" long visit(long count, void (*each)(long));

namespace
{
std::atomic<long> destroyed;

struct Guard {
	~Guard()
	{
		destroyed++;
	}
};
} // namespace

namespace shop
{
// Of three one throws.
PROBED int checkout(int basket, const char *tier)
{
	Guard guard;

	if (basket % 3 == 0)
		throw std::runtime_error(tier);
	return basket;
}

// What is thrown passes through.
PROBED int order(int basket)
{
	return checkout(basket, "gold") + 1;
}

template <typename Number> struct Basket {
	Number total = 0;
	PROBED void add(Number price)
	{
		total += price;
	}
};

PROBED void leave(bool now)
{
	Guard guard;

	if (now)
		pthread_exit(nullptr);
}
} // namespace shop

static long in_threads(int count, void (*run)(int, long &), int calls)
{
	std::vector<std::thread> threads;
	std::vector<long> results(static_cast<size_t>(count));
	long sum = 0;

	for (int i = 0; i < count; i++)
		threads.emplace_back(run, calls,
				     std::ref(results[static_cast<size_t>(i)]));
	for (auto &thread : threads)
		thread.join();
	for (long result : results)
		sum += result;
	return sum;
}

static void order_all(int calls, long &caught)
{
	for (int i = 1; i <= calls; i++) {
		try {
			shop::order(i);
		} catch (const std::runtime_error &) {
			caught++;
		}
	}
}

static void refuse(long number)
{
	Guard guard;

	if (number == 2)
		throw std::out_of_range("two");
}

// Every other visit is cut short, at the second.
static long visit_all(int calls)
{
	long caught = 0;

	for (int i = 0; i < calls; i++) {
		try {
			visit(i % 2 ? 4 : 1, refuse);
		} catch (const std::out_of_range &) {
			caught++;
		}
	}
	return caught;
}

static void leave_all(int calls, long &left)
{
	Guard guard;

	for (int i = 0; i < calls; i++)
		shop::leave(false);
	left = 1;
	shop::leave(true);
	left = 2;
}

static void leave_in_thread(int calls, long &left)
{
	struct Job {
		int calls;
		long *left;
	} job{calls, &left};
	pthread_t thread;

	pthread_create(
	    &thread, nullptr,
	    [](void *of) -> void * {
		    auto *what = static_cast<Job *>(of);

		    leave_all(what->calls, *what->left);
		    return nullptr;
	    },
	    &job);
	pthread_join(thread, nullptr);
}

static long add_all(int calls)
{
	shop::Basket<long> longs;
	shop::Basket<int> ints;

	for (int i = 1; i <= calls; i++) {
		longs.add(i);
		ints.add(i);
	}
	return longs.total + ints.total;
}

static long run(const std::string &name, int count, int calls)
{
	long left = 0;

	if (name == "order")
		return in_threads(count, order_all, calls);
	if (name == "visit")
		return visit_all(calls);
	if (name == "add")
		return add_all(calls);
	leave_in_thread(calls, left);
	return left;
}

int main()
{
	std::string line;

	while (std::getline(std::cin, line)) {
		std::istringstream words(line);
		std::string name;
		int count = 0, calls = 0;

		words >> name >> count >> calls;
		destroyed = 0;
		const long result = run(name, count, calls);
		std::cout << "= " << result << ' ' << destroyed << std::endl;
	}
}
