"""The inner loop, the optimisers it shares with the outer one, and the engines that add axes around both."""
