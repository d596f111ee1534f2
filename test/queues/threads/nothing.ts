export default { contract: 'none' };
