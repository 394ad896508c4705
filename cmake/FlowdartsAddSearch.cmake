# flowdarts_add_search(): filled in with the policies.
