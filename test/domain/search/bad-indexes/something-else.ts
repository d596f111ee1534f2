export default { name: 'things' };
