// SPDX-License-Identifier: Apache-2.0
/* A library in C, that knows nothing of exceptions. */
long lend(long number);
long visit(long count, void (*each)(long));

__attribute__((noipa)) long lend(long number)
{
	return number * 3;
}

__attribute__((noipa)) long visit(long count, void (*each)(long))
{
	long visited = 0;

	for (long i = 1; i <= count; i++) {
		each(i);
		visited++;
	}
	return visited;
}
