"""The API described for machines: operations as values, their schemas, and the OpenAPI 3.1 document made of them."""
