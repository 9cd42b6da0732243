-- The epoch that Redis keys carry.
SELECT epoch FROM cache_epoch
