// Compiles with and without FLOWDARTS_EXPECT_OK.
int main() {}
