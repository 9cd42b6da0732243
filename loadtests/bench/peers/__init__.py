"""The yardsticks: small servers, each a fair and tuned answer to the same question, and how to get the ready-made ones."""
